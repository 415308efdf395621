"""A provider's deployment as a model: its dialect words the request and reads the response, this does the rest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from providers.http import Request, Response, content, quota
from shared.core.completion import Completion, NoAnswer, Usage
from shared.core.phrasing import said
from shared.errors import Permanent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.http import Web
    from shared.core.completion import Prompt
    from shared.core.routing import Candidate


class Said(NamedTuple):
    """What a response says in no provider's words. `answer` is there when the provider parsed it for us."""

    text: str
    tokens_in: int
    tokens_out: int
    answer: dict[str, Any] | None = None


class Dialect(Protocol):
    """How one provider words things."""

    def request(self, candidate: Candidate, prompt: Prompt, secrets: Mapping[str, str]) -> Request:
        """Word the prompt; Permanent `provider-credentials` when the credential it names is not there."""
        ...

    def read(self, found: dict[str, Any], headers: Mapping[str, str]) -> Said:
        """Read a response; LookupError, TypeError or ValueError for one of another shape."""
        ...

    #: The response header that names the request.
    request_id: str


@dataclass(frozen=True, slots=True)
class Remote:
    """One deployment; a call is one POST."""

    candidate: Candidate
    dialect: Dialect
    web: Web
    secrets: Mapping[str, str]

    def complete(self, prompt: Prompt) -> Completion:
        """Answer within the prompt's time."""
        request = self.dialect.request(self.candidate, prompt, self.secrets)
        total = min(prompt.timeout or self.candidate.timeout, self.candidate.timeout)
        response = self.web.post(request, total=total, idle=self.candidate.idle_timeout)
        heard = self._heard(response)
        answer, fault = (heard.answer, "") if heard.answer is not None else said(heard.text)
        return Completion(
            answer=answer,
            usage=Usage(self.candidate.model, heard.tokens_in, heard.tokens_out),
            text=heard.text,
            fault=fault,
            quota=quota(response.headers),
            request_id=response.headers.get(self.dialect.request_id, ""),
        )

    def _heard(self, response: Response) -> Said:
        try:
            found = content(response)
        except Permanent as refusal:
            raise Permanent(f"{self.candidate.name}: {self._worded(refusal)}", code=refusal.code) from refusal
        try:
            heard = self.dialect.read(found, response.headers)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise NoAnswer("the answer has another shape", code="strange-answer", served=True) from error
        if not _counts(heard.tokens_in) or not _counts(heard.tokens_out):
            raise NoAnswer("the answer does not say what it used", code="strange-answer", served=True)
        return heard

    def _worded(self, refusal: Permanent) -> str:
        """Say which credential was refused, by its name."""
        named = self.candidate.credential if refusal.code == "provider-credentials" else ""
        return f"{refusal}; they are in {named}" if named else str(refusal)


def packed(value: object) -> bytes:
    """Return JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _counts(tokens: object) -> bool:
    return isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0
