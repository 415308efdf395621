from __future__ import annotations

import json

from local.model_server.answering import answer
from local.model_server.exchange import Question
from shared.core.completion import ClassProfile, Prompt
from shared.models.extractive import Extractive
from tests.local.model_server.asking import INSTRUCTION, PROMPT, SCHEMA, TEXT

CLASSES = (
    ClassProfile("mit", markers=("permission is hereby granted, free of charge",)),
    ClassProfile("gpl", markers=("general public license",)),
)
LICENCE = (
    "You must keep this notice wherever you go. You may sell copies of the software to anybody. "
    "The authors owe you nothing at all, ever. Patents are granted as far as they are needed. "
)


def test_a_carried_prompt_gets_the_embedded_models_answer() -> None:
    """Where the message carries the prompt, answer and token counts are the embedded model's own."""
    expected = Extractive().complete(Prompt("classify", INSTRUCTION, TEXT, {}, CLASSES))
    got = answer(Question("m", PROMPT, INSTRUCTION))
    assert json.loads(got.text) == expected.answer
    assert (got.tokens_in, got.tokens_out) == (expected.usage.tokens_in, expected.usage.tokens_out)


def test_quotes_have_the_room_that_the_schema_gives() -> None:
    """A summary has as many quotes, as long, as the schema of message or request says."""
    quote = {"type": "string", "maxLength": 40}
    schema = {"type": "object", "properties": {"quotes": {"type": "array", "maxItems": 2, "items": quote}}}
    message = {"purpose": "summarise", "text": LICENCE}
    expected = Extractive().complete(Prompt("summarise", "", LICENCE, schema)).answer
    assert json.loads(answer(Question("m", json.dumps({**message, "answer_schema": schema}))).text) == expected
    assert json.loads(answer(Question("m", json.dumps(message), schema=schema)).text) == expected
    assert len(json.loads(answer(Question("m", json.dumps(message))).text)["quotes"]) == 3


def test_an_answer_fits_the_schema_of_the_request() -> None:
    """What the request's schema does not allow is left out of the embedded model's answer."""
    assert json.loads(answer(Question("m", PROMPT, schema=SCHEMA)).text) == {"label": "mit", "score": 0.85}


def test_any_other_text_is_answered_shortly() -> None:
    """Text that carries no prompt is answered with a short text, JSON if a schema is given; the same each time."""
    question = Question("m", "what is the time?")
    assert answer(question) == answer(question) != answer(Question("m", "what is the date?"))
    assert json.loads(answer(Question("m", "hello", schema=SCHEMA)).text) == {"label": "mit", "score": 0}


def test_json_that_is_no_prompt_is_any_other_text() -> None:
    """JSON without our keys, or with a schema nobody can read, is answered as any other text is."""
    for text in ('{"purpose": "dance", "text": "x"}', '{"a": 1}', "{", json.dumps({"purpose": "classify"})):
        assert answer(Question("m", text)).text.startswith("Read ")
    assert answer(Question("m", json.dumps({"purpose": "classify", "text": "x", "answer_schema": {"type": 1}}))).text


def test_an_answer_ends_at_its_bound() -> None:
    """With `max_tokens` too small the answer is cut off, and says so."""
    cut = answer(Question("m", PROMPT, max_tokens=5))
    assert (cut.finish, cut.tokens_out, len(cut.text)) == ("length", 5, 20)
    assert answer(Question("m", PROMPT, max_tokens=1000)).finish == "stop"
