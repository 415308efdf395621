from __future__ import annotations

import json
from typing import Any

import pytest
from cloudevents.conversion import to_json
from cloudevents.http import from_json
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import Permanent
from shared.events.attributes import as_text
from shared.events.catalog import AnyEvent, Cause, encode, follow, parse
from shared.events.document import DocumentFailed
from tests.events.facts import TIMES, WORDS, events
from tests.events.test_catalog import AT, refusal, sample

GOOD: list[tuple[str, Any]] = [
    *(("source", reference) for reference in ("/aws", "agentfabric/aws", "urn:x:y", "https://a.example/b?c=d#e", "#f")),
    *(("source", reference) for reference in ("//host/path", "mailto:a@example.org", "a%20b", "http://[::1]/x", "?q")),
    *(
        ("time", f"2025-06-01{rest}")
        for rest in ("T12:30:15Z", "t12:30:15.25z", "T12:30:15+02:00", "T12:30:15.123456789Z")
    ),
    ("subject", "naïve 日本"),
    *(("ext1", value) for value in ("", "text", True, 0, -(2**31), 2**31 - 1)),
    ("a" * 20, "twenty characters are a name"),
]
BAD: list[tuple[str, Any]] = [
    ("specversion", None),
    ("specversion", "1.1"),
    ("specversion", 1.0),
    ("id", ""),
    ("id", 7),
    ("id", "a\nb"),
    *(
        ("source", given)
        for given in ("", "a b", "<a>", "a>", "a\\b", "a|b", "{a}", "a^b", "a`b", '"a"', "naïve", "a\n")
    ),
    *(("source", given) for given in ("%", "%2", "%zz", "1a:b", ":a", "a#b#c", "a[b]", "http://[::1", 7)),
    *(("subject", given) for given in ("", "a\tb", "\x85", 7)),
    *(("time", given) for given in (1748781015, 1748781015.5, "1748781015", "2025-06-01", "2025-06-01 12:30:15Z")),
    *(("time", f"2025-06-01T{rest}") for rest in ("12:30Z", "12:30:15", "12:30:15+0200", "12:30:15,5Z", "25:00:00Z")),
    ("datacontenttype", "application/xml"),
    *(("sequence", given) for given in ("3", 3.0, True, 2**31)),
    ("traceparent", f"00-{'0' * 32}-95f0041dae0ee4e2-01"),
    ("traceparent", f"00-3a3b6e433787a5fc3f15905c708d247a-{'0' * 16}-01"),
    ("traceparent", "ff-3a3b6e433787a5fc3f15905c708d247a-95f0041dae0ee4e2-01"),
    ("traceparent", "00-3A3b6e433787a5fc3f15905c708d247a-95f0041dae0ee4e2-01"),
    *(("ext1", given) for given in ([], {}, [1], {"a": 1}, 1.5, 2**31, -(2**31) - 1)),
    *((name, "x") for name in ("Upper", "with_underscore", "with-dash", "naïve", "", "a" * 21, "data_base64")),
]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_what_an_attribute_may_hold(name: str, value: Any) -> None:
    """An attribute as the specification allows it is read, kept and written again."""
    read = parse(json.dumps(sample() | {name: value}))
    written = json.loads(encode(read))
    assert parse(json.dumps(written)) == read
    assert name == "time" or written[name] == value


@pytest.mark.parametrize(("name", "value"), BAD)
def test_what_an_attribute_may_not_hold(name: str, value: Any) -> None:
    """An attribute that the specification rules out is refused, and its name is told, cut to what a line can hold."""
    fields = sample() | {name: value}
    if value is None:
        del fields[name]
    assert refusal(json.dumps(fields)) == ("invalid", name or "body")


@pytest.mark.parametrize("name", ["subject", "traceparent", "causationid", "datacontenttype", "ext1"])
def test_null_is_an_attribute_that_is_not_given(name: str) -> None:
    """An optional attribute may be null, which is the same as leaving it out."""
    without = {key: value for key, value in sample().items() if key != name}
    assert parse(json.dumps(without | {name: None})) == parse(json.dumps(without))


@given(st.text(WORDS, max_size=600))
def test_any_name_of_a_document_can_be_a_subject(name: str) -> None:
    """Whatever people call a document, its events have a subject that may stand in an attribute, or none."""
    fact = DocumentFailed(
        document=0, name=name[:512], uri="file:///a", step="extract", code="x", reason="x", cost_micro_usd=0
    )
    (event,) = follow(Cause("c", "acme", "t", "e", "s"), [fact], after=0, at=AT)
    assert event.subject == as_text(name[:512])
    assert parse(encode(event)) == event


@settings(max_examples=60, deadline=None)
@given(events())
def test_the_public_sdk_reads_what_we_write(event: AnyEvent) -> None:
    """The CloudEvents SDK finds every attribute and the data, and what it writes is the same event to us."""
    body = encode(event, "pubsub")
    theirs = from_json(body)
    fields = json.loads(body)
    assert theirs.get_attributes().keys() == fields.keys() - {"data"}
    assert (theirs["id"], theirs["source"], theirs["type"]) == (event.id, event.source, event.type)
    assert (theirs["sequence"], theirs["partitionkey"]) == (event.sequence, event.entity)
    assert theirs.get_data() == fields["data"]
    assert parse(to_json(theirs)) == event


@given(TIMES)
def test_times_are_written_as_rfc_3339(at: Any) -> None:
    """Any time an event can have is written as text that is read back as the same time."""
    fact = DocumentFailed(document=0, name="", uri="file:///a", step="x", code="x", reason="x", cost_micro_usd=0)
    (event,) = follow(Cause("c", "acme", "t", "e", "s"), [fact], after=0, at=at)
    assert parse(encode(event)).time == at


def test_an_entity_has_no_more_events_than_an_integer_counts() -> None:
    """The number after the last one CloudEvents' Integer can hold is refused where it is written."""
    fact = DocumentFailed(document=0, name="", uri="file:///a", step="x", code="x", reason="x", cost_micro_usd=0)
    cause = Cause("c", "acme", "t", "e", "s")
    assert follow(cause, [fact], after=2**31 - 2, at=AT)[0].sequence == 2**31 - 1
    with pytest.raises(ValueError, match="sequence"):
        follow(cause, [fact], after=2**31 - 1, at=AT)


def test_a_refused_name_is_cut() -> None:
    """The name of a field that a stranger chose is repeated up to 80 characters."""
    with pytest.raises(Permanent) as refused:
        parse(json.dumps(sample() | {"A" * 10_000: 1}))
    assert refused.value.where == "A" * 80
    assert len(str(refused.value)) < 250
