from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import Transient
from tests.contracts.fakes import ports_with
from tests.contracts.records_contract import AT, Entity
from tests.gcp import served
from tests.gcp.pushes import push, push_of, sample

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from shared.ports import Records


class Failing:
    """Records that fail in one way."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object) -> None:
            raise self._failure

        return fail


def send(recorder: FlaskClient, envelope: dict[str, Any]) -> int:
    """Push an envelope; return the status."""
    return recorder.post("/", json=envelope).status_code


def problem(response: TestResponse) -> tuple[int, str, str]:
    """Return a problem's status, code and detail."""
    assert response.mimetype == "application/problem+json"
    told = json.loads(response.data)
    assert told["status"] == response.status_code
    return response.status_code, told["code"], told["detail"]


def test_a_recorded_push_is_parked_until_its_turn(recorder: FlaskClient, records: Records) -> None:
    """The recorded push carries the third event of its entity, so it is kept and acknowledged."""
    assert send(recorder, sample()) == 204
    (item,) = records.parked("acme")
    assert (item.entity, item.sequence, item.cause) == ("package/naïve-日本", 3, "gap")


def test_applied_and_duplicate_are_acknowledged(recorder: FlaskClient, records: Records) -> None:
    """An event is recorded once however often it is pushed, and every push is acknowledged."""
    mine = Entity()
    first, second = mine.events(2)
    assert [send(recorder, push_of(event)) for event in (first, first, second, first)] == [204] * 4
    assert [row.sequence for row in records.history(mine.tenant, entity=mine.name)] == [1, 2]


def test_poison_is_acknowledged_and_kept(recorder: FlaskClient, records: Records) -> None:
    """An unreadable message is parked under the number its attributes name, and acknowledged."""
    mine = Entity()
    named = {"tenant": mine.tenant, "partitionkey": mine.name, "sequence": "2"}
    assert send(recorder, push(b"\xff\x00not json", named)) == 204
    (item,) = records.parked(mine.tenant, entity=mine.name)
    assert (item.sequence, item.cause, item.body) == (2, "poison", "\\xff\x00not json")
    assert "not UTF-8" in item.reason


def test_poison_names_its_owner_itself(recorder: FlaskClient, records: Records) -> None:
    """An event of an unknown type whose attributes were lost is parked for the entity its body names."""
    body = {"type": "no.such", "tenant": "acme", "partitionkey": "e", "sequence": 4}
    assert send(recorder, push(json.dumps(body).encode(), {})) == 204
    assert [(item.entity, item.sequence) for item in records.parked("acme")] == [("e", 4)]


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"tenant": "acme"},
        {"tenant": "ACME!", "partitionkey": "e", "sequence": "1"},
        {"tenant": "acme", "partitionkey": "", "sequence": "1"},
        {"tenant": "acme", "partitionkey": "e", "sequence": "0"},
        {"tenant": "acme", "partitionkey": "e", "sequence": "9" * 30},
        {"tenant": "acme", "partitionkey": "e\n", "sequence": "1"},
    ],
)
def test_quarantine(recorder: FlaskClient, records: Records, named: dict[str, str]) -> None:
    """A message nobody owns is acknowledged, kept once in quarantine, and parked for no tenant."""
    assert [send(recorder, push(b"???", named)) for _ in range(2)] == [204, 204]
    (item,) = records.parked("_quarantine")
    assert (item.body, item.sequence) == ("???", 1)
    assert records.parked("acme") == []


def test_an_oversize_message_is_poison(recorder: FlaskClient, records: Records) -> None:
    """A message larger than producers may send is parked, its beginning and its digest kept."""
    named = {"tenant": "acme", "partitionkey": "e", "sequence": "1"}
    assert send(recorder, push(b"x" * 200_000, named)) == 204
    (item,) = records.parked("acme")
    assert len(item.body) == 100_000
    assert "200000 bytes" in item.reason
    assert "the first 100000 of 200000 characters, sha256" in item.reason


def test_another_tenants_event_is_poison(recorder: FlaskClient, records: Records) -> None:
    """An event whose attributes name another tenant than its body is not recorded for either."""
    (event,) = Entity().events(1)
    envelope = push_of(event)
    envelope["message"]["attributes"]["tenant"] = "other"
    assert send(recorder, envelope) == 204
    assert records.history("acme") == []
    assert "belongs to 'acme', not to 'other'" in records.parked("other")[0].reason


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[" * 5000, "nested deeper than 32 levels"),
        (b"[]", "expected a JSON object"),
        (b"{}", "message: Field required"),
        (b'{"message": 7}', "message:"),
        (b'{"message": {"data": "%%%"}}', "message.data: Value error"),
        (b'{"message": {"data": "abc"}}', "message.data: Value error"),
        (b'{"message": {"data": "YQ==\\n"}}', "message.data: Value error"),
        ('{"message": {"data": "é"}}'.encode(), "message.data: Value error"),
        (b'{"message": {"data": 7}}', "message.data:"),
        (b'{"message": {"attributes": {"tenant": 7}}}', "message.attributes.tenant:"),
        (b'{"message": {"attributes": []}}', "message.attributes:"),
    ],
)
def test_a_malformed_envelope(recorder: FlaskClient, records: Records, body: bytes, detail: str) -> None:
    """What is no push envelope is refused with a problem that says where."""
    status, code, told = problem(recorder.post("/", data=body))
    assert (status, code) == (400, "broken-envelope")
    assert detail in told
    assert records.parked("_quarantine") == []


def test_a_huge_request(recorder: FlaskClient) -> None:
    """A request larger than any push is refused without being read."""
    status, code, _ = problem(recorder.post("/", data=b"x" * (16 * 1024 * 1024 + 1)))
    assert (status, code) == (413, "oversize")


def test_only_post(recorder: FlaskClient) -> None:
    """Anything but a POST is refused."""
    assert problem(recorder.get("/"))[:2] == (405, "method-not-allowed")


def test_transient_asks_for_redelivery(recorder: FlaskClient) -> None:
    """A failure that passes is answered with 503 and the patience it asks for, rounded up."""
    failing: Any = Failing(Transient("Spanner: Aborted", retry_after=1.2))
    served.CURRENT.set(ports_with(failing, lambda: AT))
    response = recorder.post("/", json=sample())
    assert problem(response) == (503, "try-later", "Spanner: Aborted")
    assert response.headers["Retry-After"] == "2"


def test_an_unexpected_failure_tells_nothing(recorder: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected failure is a 500 without internals, and the log names its type and place only."""
    failing: Any = Failing(RuntimeError("secret words of a document"))
    served.CURRENT.set(ports_with(failing, lambda: AT))
    with caplog.at_level(logging.INFO):
        response = recorder.post("/", json=sample())
    assert problem(response)[:2] == (500, "internal")
    assert "RuntimeError in record at fail:" in caplog.text
    assert "secret" not in caplog.text + response.text


def test_data_is_decoded(recorder: FlaskClient, records: Records) -> None:
    """A message without data is a message nobody can read, kept like any other."""
    assert send(recorder, {"message": {"attributes": {}, "messageId": "1"}}) == 204
    assert [item.body for item in records.parked("_quarantine")] == [""]
    assert base64.b64decode(sample()["message"]["data"]).startswith(b'{"specversion"')
