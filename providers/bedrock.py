"""Bedrock's Converse: `POST {url}/model/{model}/converse`, signed as AWS asks for it.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. Structured output is the input of a
tool the model has to use. A candidate with a credential sends it as a Bedrock API key; any other is signed with the
role's keys, by botocore, which is imported then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from providers.answering import Said, packed
from providers.credentials import secret
from providers.http import Request
from shared.core.phrasing import phrase
from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.core.completion import Prompt
    from shared.core.routing import Candidate

_TOOL = "answer"


class Bedrock:
    """The model is in the path; the call's name travels as metadata."""

    request_id = "x-amzn-requestid"

    def request(self, candidate: Candidate, prompt: Prompt, secrets: Mapping[str, str]) -> Request:
        """Word the prompt."""
        base = candidate.url.rstrip("/") or f"https://bedrock-runtime.{candidate.region}.amazonaws.com"
        url, body = f"{base}/model/{quote(candidate.model, safe='')}/converse", packed(_body(prompt))
        key = secret(candidate, secrets)
        return Request(url, {"authorization": f"Bearer {key}"} if key else _signed(candidate, url, body, secrets), body)

    def read(self, found: dict[str, Any], headers: Mapping[str, str]) -> Said:  # noqa: ARG002  other dialects need them
        """Read an answer: the tool's input, or text of a model that talked instead."""
        blocks, usage = found["output"]["message"]["content"], found["usage"]
        inputs = [block["toolUse"]["input"] for block in blocks if "toolUse" in block]
        text = "".join(block["text"] for block in blocks if "text" in block)
        answer = inputs[0] if inputs and isinstance(inputs[0], dict) else None
        return Said(text, usage["inputTokens"], usage["outputTokens"], answer)


def _body(prompt: Prompt) -> dict[str, Any]:
    system, user = phrase(prompt)
    tool = {"name": _TOOL, "description": "Takes the answer.", "inputSchema": {"json": prompt.answer_schema}}
    return {
        "system": [{"text": system}],
        "messages": [{"role": "user", "content": [{"text": user}]}],
        "inferenceConfig": {"maxTokens": prompt.max_output_tokens, "temperature": 0},
        "toolConfig": {"tools": [{"toolSpec": tool}], "toolChoice": {"tool": {"name": _TOOL}}},
        **({"requestMetadata": {"draw": prompt.reference}} if prompt.reference else {}),
    }


def _signed(candidate: Candidate, url: str, body: bytes, secrets: Mapping[str, str]) -> dict[str, str]:
    from botocore.auth import SigV4Auth  # noqa: PLC0415  130 ms that only who signs pays
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415

    if not candidate.region:
        raise Permanent(f"{candidate.name} names no region to sign for", code="provider-credentials")
    request = AWSRequest("POST", url, headers={"content-type": "application/json"}, data=body)
    SigV4Auth(_keys(secrets), "bedrock", candidate.region).add_auth(request)
    return dict(request.headers.items())


def _keys(secrets: Mapping[str, str]) -> Any:  # noqa: ANN401  botocore has no types
    """Return the role's keys: those a Lambda function has in its environment, else what botocore finds."""
    from botocore.credentials import Credentials  # noqa: PLC0415

    if secrets.get("AWS_ACCESS_KEY_ID") and secrets.get("AWS_SECRET_ACCESS_KEY"):
        token = secrets.get("AWS_SESSION_TOKEN")
        return Credentials(secrets["AWS_ACCESS_KEY_ID"], secrets["AWS_SECRET_ACCESS_KEY"], token)
    from botocore.session import Session  # noqa: PLC0415

    found = Session().get_credentials()
    if found is None:
        raise Permanent("there are no AWS keys to sign with", code="provider-credentials")
    return found.get_frozen_credentials()
