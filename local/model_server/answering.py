"""What the model says: the embedded model's answer where the question carries its prompt, else something short.

The agreement with adapters: the user's message is a JSON object with `purpose`, `text` and, where there are any,
`classes` and `answer_schema`; the instruction is the system's message. The embedded model counts its own tokens, so
that a run costs here what it costs embedded. Nothing is drawn by chance.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from local.model_server import schemas
from local.model_server.exchange import Answer, Question
from shared.core.completion import ClassProfile, Prompt, Purpose
from shared.errors import Permanent
from shared.models.extractive import Extractive, tokens

_CHARACTERS_PER_TOKEN = 4
_QUOTES, _QUOTE = 3, 330


class _Class(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str
    keywords: tuple[str, ...] = ()
    reference: str = ""
    markers: tuple[str, ...] = ()


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")

    purpose: Purpose
    text: str
    classes: tuple[_Class, ...] = ()
    answer_schema: dict[str, Any] = Field(default_factory=dict)

    @field_validator("answer_schema")
    @classmethod
    def _readable(cls, schema: dict[str, Any]) -> dict[str, Any]:
        try:
            schemas.check(schema)
        except Permanent as error:
            raise ValueError(str(error)) from error
        return schema


def answer(question: Question) -> Answer:
    """Answer; the same question always gets the same answer."""
    message = _message(question.text)
    schema = question.schema if question.schema is not None else (message and message.answer_schema) or None
    if message is not None:
        completion = Extractive().complete(_prompt(question, message))
        said = _text(schemas.fitted(completion.answer, schema) if schema else completion.answer)
        return _within(question, Answer(said, completion.usage.tokens_in, tokens(said)))
    said = _short(question) if schema is None else _text(schemas.sample(schema))
    return _within(question, Answer(said, asked(question), tokens(said)))


def asked(question: Question) -> int:
    """Estimate the tokens of a question."""
    return tokens(question.instruction, question.text)


def malformed(question: Question, proper: Answer) -> Answer:
    """Return an answer that is JSON and not what was asked for."""
    message = _message(question.text)
    said = _text(schemas.spoiled(question.schema or (message.answer_schema if message else None)))
    return Answer(said, proper.tokens_in, tokens(said))


def empty(_: Question, proper: Answer) -> Answer:
    """Return an answer that says nothing."""
    return Answer("", proper.tokens_in, 0)


def _message(text: str) -> _Message | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        return _Message.model_validate_json(text)
    except ValidationError:
        return None  # any other text is answered, too


def _prompt(question: Question, message: _Message) -> Prompt:
    classes = tuple(ClassProfile(one.name, one.keywords, one.reference, one.markers) for one in message.classes)
    schema = _room(question.schema or {}, message.answer_schema)
    return Prompt(message.purpose, question.instruction, message.text, schema, classes)


def _room(*given: Any) -> dict[str, Any]:  # noqa: ANN401  a schema as it came
    """Return how many quotes of which length an answer has room for, as far as a schema says so."""
    quotes: dict[str, Any] = {}
    for schema in reversed(given):
        told = schema.get("properties", {}).get("quotes", {})
        quotes |= {"maxItems": told["maxItems"]} if "maxItems" in told else {}
        items = told.get("items", {})
        quotes |= {"maxLength": items["maxLength"]} if "maxLength" in items else {}
    most, length = int(quotes.get("maxItems", _QUOTES)), int(quotes.get("maxLength", _QUOTE))
    return {"properties": {"quotes": {"maxItems": most, "items": {"maxLength": length}}}}


def _short(question: Question) -> str:
    seen = sha256(question.text.encode()).hexdigest()[:8]
    return f"Read {len(question.text.split())} words ({seen})."


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _within(question: Question, proper: Answer) -> Answer:
    """Cut the answer off where the question's bound is."""
    most = question.max_tokens
    if most is None or proper.tokens_out <= most:
        return proper
    return Answer(proper.text[: most * _CHARACTERS_PER_TOKEN], proper.tokens_in, most, "length")
