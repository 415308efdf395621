from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from local.model_server import answering
from local.model_server.exchange import Answer, Call, Question
from local.model_server.protocols import all_protocols
from local.model_server.scenario import Deployment, Phase, Quota, Scenario
from local.model_server.service import MOST_BYTES, ModelService
from tests.local.model_server import asking
from tests.local.model_server.asking import ALL, INSTRUCTION, PROMPT, SCHEMA, Spoken
from tests.local.model_server.conftest import of

EXPECTED = answering.answer(Question("m", PROMPT, INSTRUCTION))
FITTED = answering.answer(Question("m", PROMPT, INSTRUCTION, schema=SCHEMA))
protocols = pytest.mark.parametrize("spoken", ALL, ids=str)
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def changed(call: Call, **fields: Any) -> Call:
    """Return the call with these fields of its body replaced."""
    return replace(call, body=json.dumps({**json.loads(call.body), **fields}).encode())


def refusal(call: Call, scenario: Scenario | None = None) -> tuple[int, dict[str, str], Any]:
    """Return status, headers and body of the last answer to two equal calls."""
    service = ModelService(scenario)
    service.reply(call, 0.0)
    reply = service.reply(call, 0.0)
    return reply.status, dict(reply.headers), json.loads(reply.content)


def test_every_protocol_is_tested() -> None:
    """Each protocol that the server speaks is one of those asked here."""
    assert {one.name for one in all_protocols()} == {spoken.name for spoken in ALL}


@protocols
@streamed
def test_the_answer_arrives(spoken: Spoken, stream: bool) -> None:  # noqa: FBT001  a parameter of the test
    """Instruction and prompt arrive at the model, its answer and its tokens at the client, whole or streamed."""
    reply = ModelService().reply(spoken.ask(stream=stream), 0.0)
    assert reply.status == 200
    assert json.loads(spoken.says(reply)) == json.loads(EXPECTED.text)
    assert spoken.usage(reply) == (EXPECTED.tokens_in, EXPECTED.tokens_out)
    assert spoken.reason(reply) in {"stop", "end_turn", "STOP"}
    assert (len(reply.chunks) > 5) == stream


@protocols
@streamed
def test_a_schema_is_honoured(spoken: Spoken, stream: bool) -> None:  # noqa: FBT001  a parameter of the test
    """An answer asked for with a schema satisfies it."""
    reply = ModelService().reply(spoken.ask(stream=stream, schema=SCHEMA), 0.0)
    assert json.loads(spoken.says(reply)) == {"label": "mit", "score": 0.85}
    assert spoken.usage(reply) == (FITTED.tokens_in, FITTED.tokens_out)


@protocols
@streamed
def test_an_answer_cut_off_says_so(spoken: Spoken, stream: bool) -> None:  # noqa: FBT001  a parameter of the test
    """An answer longer than the request allows is cut off, with the reason that the protocol has for it."""
    reply = ModelService().reply(spoken.ask(stream=stream, most=3), 0.0)
    assert spoken.says(reply) == EXPECTED.text[:12]
    assert spoken.usage(reply) == (EXPECTED.tokens_in, 3)
    assert spoken.reason(reply) in {"length", "max_tokens", "MAX_TOKENS"}


@protocols
def test_text_of_any_language_survives(spoken: Spoken) -> None:
    """What is not ASCII arrives as it was said, whole and streamed."""
    said = "Größe, 大きさ, 🦆 and more, to fill more than one event"
    service = ModelService(answer=lambda _: Answer(said, 1, 1))
    assert [spoken.says(service.reply(spoken.ask(stream=stream), 0.0)) for stream in (False, True)] == [said, said]


@protocols
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"messages": [], "contents": []}', b'{"messages": 1}'])
def test_what_is_no_request_is_refused(spoken: Spoken, body: bytes) -> None:
    """A body that is no request is refused with 400, and a log entry tells of it."""
    service = ModelService()
    assert service.reply(replace(spoken.ask(), body=body), 0.0).status == 400
    assert [one.status for one in service.log.entries()] == [400]


@protocols
def test_an_unknown_deployment_is_not_found(spoken: Spoken) -> None:
    """Where a scenario names its deployments, another one is not found."""
    service = ModelService(Scenario(deployments={"known": Deployment()}))
    assert service.reply(spoken.ask(model="unknown"), 0.0).status == 404
    assert service.reply(spoken.ask(model="known"), 0.0).status == 200


@protocols
def test_a_huge_request_is_refused(spoken: Spoken) -> None:
    """A request above the cap is refused before it is read."""
    reply = ModelService().reply(replace(spoken.ask(), body=b" " * (MOST_BYTES + 1)), 0.0)
    assert reply.status == 413


@protocols
def test_a_schema_nobody_can_read_is_refused(spoken: Spoken) -> None:
    """A request whose schema is none is refused with 400."""
    assert ModelService().reply(spoken.ask(schema={"type": 5}), 0.0).status == 400


@protocols
def test_a_get_is_not_an_answer(spoken: Spoken) -> None:
    """Only POST gets an answer."""
    assert ModelService().reply(replace(spoken.ask(), method="GET"), 0.0).status == 404


REQUESTS = of(quota=Quota(requests_per_minute=60, burst=1))


def test_openai_says_what_is_left() -> None:
    """OpenAI's answers tell both quotas' limits, rests and resets; a refusal says when, in two headers."""
    scenario = of(quota=Quota(requests_per_minute=600, tokens_per_minute=60000, burst=60))
    headers = ModelService(scenario).reply(asking.ask_openai(most=100), 0.0).headers
    asked = answering.asked(Question("m", PROMPT, INSTRUCTION)) + 100
    assert headers["x-ratelimit-limit-requests"] == "600"
    assert headers["x-ratelimit-remaining-requests"] == "599"
    assert headers["x-ratelimit-reset-requests"] == "100ms"
    assert headers["x-ratelimit-remaining-tokens"] == str(60000 - asked)
    status, headers, body = refusal(asking.ask_openai(), REQUESTS)
    assert (status, headers["retry-after"], headers["retry-after-ms"]) == (429, "1", "1000")
    assert body["error"]["code"] == "rate_limit_exceeded"


def test_azure_says_what_is_left() -> None:
    """Azure's refusals carry the remaining requests and tokens and both Retry-After headers."""
    status, headers, body = refusal(asking.ask_azure(), REQUESTS)
    told = [headers[name] for name in ("x-ratelimit-remaining-requests", "retry-after", "retry-after-ms")]
    assert (status, told) == (429, ["0", "1", "1000"])
    assert body["error"]["message"]
    assert headers["apim-request-id"] == headers["x-request-id"]


def test_azure_needs_its_version() -> None:
    """Without api-version Azure finds nothing."""
    assert ModelService().reply(replace(asking.ask_azure(), query={}), 0.0).status == 404


def test_azure_opens_a_stream_without_choices() -> None:
    """Azure's first event has no choices but the filter's results; OpenAI's has a choice."""
    service = ModelService()
    azure = asking.events(service.reply(asking.ask_azure(stream=True), 0.0))
    openai = asking.events(service.reply(asking.ask_openai(stream=True), 0.0))
    assert azure[0]["choices"] == []
    assert azure[0]["prompt_filter_results"]
    assert openai[0]["choices"][0]["delta"]["role"] == "assistant"


def test_usage_is_streamed_only_if_wanted() -> None:
    """Without include_usage no event of a stream tells of tokens."""
    reply = ModelService().reply(changed(asking.ask_openai(stream=True), stream_options=None), 0.0)
    assert all("usage" not in one for one in asking.events(reply))
    assert reply.content.endswith(b"data: [DONE]\n\n")


def test_openai_lists_its_models() -> None:
    """The scenario's deployments are listed as models, and one can be asked for."""
    service = ModelService(Scenario(deployments={"a": Deployment(), "azure/b": Deployment(), "*": Deployment()}))
    listed = json.loads(service.reply(Call("GET", "/v1/models"), 0.0).content)
    assert [one["id"] for one in listed["data"]] == ["a"]
    assert json.loads(service.reply(Call("GET", "/v1/models/a"), 0.0).content)["id"] == "a"
    assert service.reply(Call("GET", "/v1/models/b"), 0.0).status == 404
    assert service.log.entries()[-1].status == 404


def test_gemini_lists_its_models() -> None:
    """Gemini's list is at its own path, and at OpenAI's for a client that says it is Gemini's."""
    service = ModelService(Scenario(deployments={"gemini/a": Deployment()}))
    plain = service.reply(Call("GET", "/v1beta/models"), 0.0)
    told = service.reply(Call("GET", "/v1/models", headers={"x-goog-api-key": "k"}), 0.0)
    assert json.loads(plain.content)["models"][0]["name"] == "models/a"
    assert told.content == plain.content


@pytest.mark.parametrize("fields", [{"tools": [{"type": "function"}]}, {"n": 2}])
def test_openai_refuses_what_it_cannot_do(fields: dict[str, Any]) -> None:
    """Tools and several choices are refused rather than ignored."""
    assert ModelService().reply(changed(asking.ask_openai(), **fields), 0.0).status == 400


def test_openai_reads_parts_and_refuses_pictures() -> None:
    """Content may come in parts of text; a picture is refused."""
    parts = [{"type": "text", "text": PROMPT[:9]}, {"type": "text", "text": PROMPT[9:]}]
    picture = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    messages = [[{"role": "user", "content": content}] for content in (parts, picture)]
    good, bad = (ModelService().reply(changed(asking.ask_openai(), messages=one), 0.0) for one in messages)
    assert json.loads(asking.OPENAI.says(good))["label"] == "mit"
    assert bad.status == 400


def test_json_mode_gets_an_object() -> None:
    """With json_object, or Gemini's JSON type alone, any text is answered with an object."""
    service = ModelService()
    chat = changed(asking.ask_openai("hello"), response_format={"type": "json_object"})
    gemini = changed(asking.ask_gemini("hello"), generationConfig={"responseMimeType": "application/json"})
    assert json.loads(asking.OPENAI.says(service.reply(chat, 0.0))) == {}
    assert json.loads(asking.GEMINI.says(service.reply(gemini, 0.0))) == {}


@pytest.mark.parametrize(
    ("kind", "name", "status"),
    [
        ("400", "ValidationException", 400),
        ("401", "UnrecognizedClientException", 401),
        ("429", "ThrottlingException", 429),
        ("500", "InternalServerException", 500),
        ("503", "ServiceUnavailableException", 503),
    ],
)
def test_bedrock_names_its_errors(kind: str, name: str, status: int) -> None:
    """Bedrock's refusals carry the exception's name in a header and a message in the body."""
    got, headers, body = refusal(asking.ask_bedrock(), of(Phase.model_validate({"kind": kind})))
    assert (got, headers["x-amzn-errortype"]) == (status, name)
    assert body["message"]


def test_bedrock_answers_a_forced_tool_by_its_use() -> None:
    """A forced tool, by name or as any, is used with the answer as its input; one that is not there is refused."""
    service = ModelService()
    call = asking.ask_bedrock(schema=SCHEMA)
    config = json.loads(call.body)["toolConfig"]
    forced: list[dict[str, Any]] = [{"tool": {"name": "answer"}}, {"any": {}}]
    for choice in forced:
        said = json.loads(service.reply(changed(call, toolConfig={**config, "toolChoice": choice}), 0.0).content)
        assert said["output"]["message"]["content"][0]["toolUse"]["name"] == "answer"
        assert said["stopReason"] == "tool_use"
    free = changed(call, toolConfig={"tools": config["tools"]})
    assert asking.BEDROCK.reason(service.reply(free, 0.0)) == "end_turn"
    stranger = {**config, "toolChoice": {"tool": {"name": "other"}}}
    assert service.reply(changed(call, toolConfig=stranger), 0.0).status == 400


def test_bedrock_reads_the_schema_of_its_output_config() -> None:
    """A schema in outputConfig, which is text there, is honoured in a text answer."""

    def asked(schema: str) -> Call:
        text = {"type": "json_schema", "structure": {"jsonSchema": {"schema": schema}}}
        return changed(asking.ask_bedrock(), outputConfig={"textFormat": text})

    service = ModelService()
    reply = service.reply(asked(json.dumps(SCHEMA)), 0.0)
    assert json.loads(asking.BEDROCK.says(reply)) == {"label": "mit", "score": 0.85}
    assert [service.reply(asked(text), 0.0).status for text in ("{", "[]")] == [400, 400]


def test_a_models_quoted_name_is_read() -> None:
    """Ids with colons and slashes, quoted in the path, are known to the scenario by their plain names."""
    name = "arn:aws:bedrock:us-east-1:1:inference-profile/us.a-v1:0"
    service = ModelService(Scenario(deployments={name: Deployment()}))
    quoted = name.replace(":", "%3A").replace("/", "%2F")
    assert service.reply(asking.ask_bedrock(model=quoted), 0.0).status == 200


@pytest.mark.parametrize(
    "prefix",
    [
        "/v1/models",
        "/v1beta/models",
        "/v1/projects/p/locations/l/publishers/google/models",
        "/v1beta1/projects/p/locations/l/publishers/google/models",
        "/v1beta1/publishers/google/models",
    ],
)
def test_gemini_answers_at_all_its_paths(prefix: str) -> None:
    """The Gemini API's and Vertex AI's paths lead to the same model."""
    service = ModelService()
    call = replace(asking.ask_gemini(), path=f"{prefix}/gemini-2.0-flash:generateContent")
    assert service.reply(call, 0.0).status == 200
    assert service.log.entries()[0].deployment == "gemini-2.0-flash"


def test_gemini_says_when_in_its_details() -> None:
    """Gemini's refusal has its status in words and the time to wait in a RetryInfo."""
    status, headers, body = refusal(asking.ask_gemini(), REQUESTS)
    assert (status, body["error"]["status"], headers["retry-after"]) == (429, "RESOURCE_EXHAUSTED", "1")
    assert [one["retryDelay"] for one in body["error"]["details"]] == ["1.000s"]


def test_gemini_streams_an_array_without_sse() -> None:
    """A stream that is not asked for as events is one JSON array."""
    reply = ModelService().reply(replace(asking.ask_gemini(stream=True), query={}), 0.0)
    parts = json.loads(reply.content)
    said = "".join(part["candidates"][0]["content"]["parts"][0]["text"] for part in parts)
    assert json.loads(said) == json.loads(EXPECTED.text)


def test_gemini_wants_its_type_with_a_schema() -> None:
    """A schema without the JSON type is refused; responseSchema in Gemini's own dialect is honoured."""
    schema = {"type": "OBJECT", "properties": {"label": {"type": "STRING"}}, "required": ["label"]}
    wrong = changed(asking.ask_gemini(), generationConfig={"responseSchema": schema})
    right = changed(
        asking.ask_gemini(), generationConfig={"responseSchema": schema, "responseMimeType": "application/json"}
    )
    assert ModelService().reply(wrong, 0.0).status == 400
    assert json.loads(asking.GEMINI.says(ModelService().reply(right, 0.0))) == {"label": "mit"}


def test_a_path_nobody_serves_is_not_found() -> None:
    """A path of no protocol is not found and leaves no trace in the log."""
    service = ModelService()
    assert service.reply(Call("POST", "/v2/chat"), 0.0).status == 404
    assert service.log.entries() == []
