from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from shared.errors import Permanent
from shared.events.catalog import CATALOG, AnyEvent, encode, parse
from shared.events.once import proven_once
from shared.events.strict import MAX_DEPTH, load_object
from tests.events.facts import events
from tests.events.test_catalog import SAMPLE, sample

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = {"uri": "file:///a", "sha256": "0" * 64, "size": 1, "name": "a"}
SUBMITTED = json.dumps(
    sample(
        type="task.submitted",
        dataschema="urn:agentfabric:task.submitted:2",
        data={
            "workflow": "document-review",
            "documents": [DOCUMENT, DOCUMENT],
            "taxonomy": DOCUMENT,
            "submitted_by": "ann",
            "budget_micro_usd": 5,
        },
    )
)


def refusal(body: str) -> str:
    """Return the code with which a body is refused as text and as bytes, which must be the same."""
    codes = set()
    for form in (body, body.encode()):
        with pytest.raises(Permanent) as refused:
            parse(form)
        codes.add(refused.value.code)
    (code,) = codes
    return code


@pytest.mark.parametrize("body", [SAMPLE, SUBMITTED])
def test_what_is_said_twice_below_is_valid_once(body: str) -> None:
    """The events that the refused ones are made of are read."""
    assert parse(body).taskid == "task-42"


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ('"taskid":"task-42"', '"taskid":"task-43"'),
        ('"taskid":"task-42"', '"taskid":"task-42"'),
        ('"taskid":"task-42"', '"taskid" \n:"task-43"'),
        ('"taskid":"task-42"', r'"t\u0061skid":"task-43"'),
        ('"subject":null', '"subject":null'),
        ('"sequence":3', '"sequence":3'),
        ('"time":"2025-06-01T12:30:15Z"', '"time":"2025-06-01T12:30:15Z"'),
        ('"unknown":1', '"unknown":1'),
    ],
)
def test_twice_in_the_envelope(first: str, again: str) -> None:
    """An event whose envelope says something twice is refused, even the same, spaced or escaped, before or behind."""
    name = first.partition(":")[0].strip('"')
    rest = json.dumps({key: value for key, value in sample().items() if key != name})[1:-1]
    assert refusal(f"{{{first},{again},{rest}}}") == "duplicate-key"
    assert refusal(f"{{{first},{rest},{again}}}") == "duplicate-key"
    assert refusal(f"{{{rest},{again},{first}}}") == "duplicate-key"


@pytest.mark.parametrize("key", sorted(sample()))
def test_every_attribute_twice(key: str) -> None:
    """No attribute of an event may stand twice, and neither may its data."""
    assert refusal(f"{SAMPLE.strip()[:-1]},{json.dumps(key)}:{json.dumps(sample()[key])}}}") == "duplicate-key"


@pytest.mark.parametrize(
    "again", ['"cloud":"aws"', '"run":2', '"reason":""', '"documents":3', '"more":{"a":1,"a":1}', '"more":1,"more":1']
)
def test_twice_in_the_data(again: str) -> None:
    """An event whose data say something twice is refused, whatever kind of value it is."""
    assert refusal(SAMPLE.replace('"data":{', f'"data":{{{again},')) == "duplicate-key"


@pytest.mark.parametrize("again", ['"size": 1', '"name": "b"', '"media_type": "a/b", "media_type": "a/b"'])
@pytest.mark.parametrize("place", ['"documents": [{', '"taxonomy": {', '"sha256": '])
def test_twice_further_in(place: str, again: str) -> None:
    """An event is refused for what stands twice in a document of its data, the first one or any."""
    if place == '"sha256": ':  # inside the second document and the taxonomy, too
        assert refusal(SUBMITTED.replace(place, f"{again}, {place}")) == "duplicate-key"
    else:
        assert refusal(SUBMITTED.replace(place, f"{place}{again}, ")) == "duplicate-key"


@pytest.mark.parametrize("escapes", [r"\"", r"\"\"", r"\\", r"\u0022\u0022", ":", ",", "{", "'"])
def test_text_that_looks_like_structure_hides_nothing(escapes: str) -> None:
    """Quotes and colons inside text neither refuse a good event nor make up for a key that stands twice."""
    good = SAMPLE.replace("a batch", f"{escapes}a batch")
    assert parse(good).data.reason == json.loads(f'"{escapes}"') + parse(SAMPLE).data.reason
    assert refusal(good.replace('"run":1', '"run":1,"run":1')) == "duplicate-key"


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "-Infinity", "[1e999]", '{"a":NaN}'])
def test_numbers_nobody_knows_are_finite_too(number: str) -> None:
    """A number that JSON does not have is refused in a field that no model knows, in the data and in the envelope."""
    assert refusal(SAMPLE.replace('"data":{', f'"data":{{"unknown":{number},')) == "broken-json"
    assert refusal(SAMPLE.replace('"data":{', f'"unknown":{number},"data":{{')) == "broken-json"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, 150, 250, 100_000])
def test_depth_nobody_knows_is_bounded_too(opening: str, depth: int) -> None:
    """A field that no model knows may not be nested deeper than any other."""
    closing = "]" if opening == "[" else "}"
    deep = opening * depth + "1" + closing * depth
    assert refusal(SAMPLE.replace('"data":{', f'"data":{{"unknown":{deep},')) == "too-deep"


@settings(max_examples=150, deadline=None)
@given(events())
def test_the_quick_reading_is_the_strict_one(event: AnyEvent) -> None:
    """What is read is what the strict reader reads, validated; and an event without escapes is proven by counting."""
    body = encode(event, "pubsub")
    model = CATALOG[event.type]
    assert parse(body) == model.model_validate_json(json.dumps(load_object(body)))
    assert proven_once(body, model.model_validate_json(body)) == ('\\"' not in body.replace("\\\\", ""))


@settings(max_examples=150, deadline=None)
@given(events(), st.data())
def test_no_key_of_any_event_may_stand_twice(event: AnyEvent, data: st.DataObject) -> None:
    """Whichever key of any event is said again, with whichever value, is found."""
    body = encode(event, "pubsub")
    places = list(starts(body))
    start, key = data.draw(st.sampled_from(places))
    value = data.draw(st.sampled_from(["null", "1", '""', '"x"', "[]", '["a"]', "{}", '{"a":"b"}', "0.5", "true"]))
    forged = f"{body[:start]}{key}:{value},{body[start:]}"
    with pytest.raises(Permanent) as refused:
        parse(forged)
    assert refused.value.code == "duplicate-key"


def starts(body: str) -> Iterator[tuple[int, str]]:
    """Yield where each key of a JSON text without blanks starts, and the key."""
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"(:?)', body):
        if found[1]:
            yield found.start(), found[0][:-1]


def test_the_count_is_of_what_was_given() -> None:
    """Defaults that were not said are not counted, so they cannot make up for a key that stands twice."""
    adapter: TypeAdapter[Any] = TypeAdapter(CATALOG["task.submitted"])
    read = adapter.validate_json(SUBMITTED)
    assert "media_type" not in read.data.taxonomy.model_fields_set
    assert proven_once(SUBMITTED, read)
    assert not proven_once(SUBMITTED[:-1] + ', "datacontenttype": "application/json"}', read)
