from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.contracts.records_contract import AT, Entity

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from shared.ports import Records

ACME = {"X-Agentfabric-Tenant": "acme", "X-Agentfabric-User": "ops@example.com"}


def get(asker: FlaskClient, path: str, **asked: str | int) -> dict[str, Any]:
    """Ask and return the answer."""
    response = asker.get(path, query_string=asked, headers=ACME)
    assert response.status_code == 200, response.text
    told: dict[str, Any] = json.loads(response.data)
    return told


def test_events_by_page(asker: FlaskClient, records: Records) -> None:
    """An entity's events come in pages, each with the number that the next one follows."""
    mine = Entity(name="päckage/a b&c")
    for event in mine.events(5):
        records.apply(event, AT)
    first = get(asker, "/events", entity=mine.name, limit=3)
    rest = get(asker, "/events", entity=mine.name, limit=3, after=first["next"])
    assert [row["sequence"] for row in first["events"] + rest["events"]] == [1, 2, 3, 4, 5]
    assert (first["next"], rest["next"]) == (f"3:{mine.name}", None)
    assert first["events"][3 - 1]["event"]["type"] == "step.completed"


def test_events_of_a_task(asker: FlaskClient, records: Records) -> None:
    """A task's events can be asked for by its id."""
    for event in Entity(task="task-7").events(2):
        records.apply(event, AT)
    assert [row["event"]["taskid"] for row in get(asker, "/events", task="task-7")["events"]] == ["task-7"] * 2


def test_bill(asker: FlaskClient, records: Records) -> None:
    """The bill names every usage and their sum."""
    for event in Entity(task="task-7").events(8):
        records.apply(event, AT)
    bill = get(asker, "/bill", task="task-7")
    assert (bill["cost_micro_usd"], [row["cost_micro_usd"] for row in bill["usage"]]) == (12, [4, 8])
    assert get(asker, "/bill", task="task-8") == {"cost_micro_usd": 0, "usage": [], "next": None}


def pages(asker: FlaskClient, path: str, rows: str, limit: int, **asked: str) -> list[list[tuple[str, int]]]:
    """Follow `next` to the end; return each page's rows as entity and number."""
    found: list[list[tuple[str, int]]] = []
    following: dict[str, str] = {}
    while True:
        page = get(asker, path, limit=limit, **asked, **following)
        found.append([(row["entity"], row["sequence"]) for row in page[rows]])
        if page["next"] is None:
            return found
        following = {"after": page["next"]}


def test_bill_by_page(asker: FlaskClient, records: Records) -> None:
    """A tenant's usages come in pages across its entities, each once, and every page has the sum of all."""
    for name in ("a:b", "a", "ä"):
        for event in Entity(name=name).events(12):
            records.apply(event, AT)
    assert pages(asker, "/bill", "usage", 2) == [
        [("a", 4), ("a", 8)],
        [("a", 12), ("a:b", 4)],
        [("a:b", 8), ("a:b", 12)],
        [("ä", 4), ("ä", 8)],
        [("ä", 12)],
    ]
    assert get(asker, "/bill", limit=1, after="8:a")["cost_micro_usd"] == 3 * (4 + 8 + 12)


def test_parked_by_page(asker: FlaskClient, records: Records) -> None:
    """What is parked comes in pages across entities, or of one entity."""
    for name in ("b", "a"):
        for number in (3, 1, 2):
            records.park(Entity(name=name).poison(number))
    assert pages(asker, "/parked", "parked", 4) == [
        [("a", 1), ("a", 2), ("a", 3), ("b", 1)],
        [("b", 2), ("b", 3)],
    ]
    assert pages(asker, "/parked", "parked", 2, entity="b") == [[("b", 1), ("b", 2)], [("b", 3)]]


def test_verify(asker: FlaskClient, records: Records) -> None:
    """The audit trail's check says how many rows hold."""
    mine = Entity()
    for event in mine.events(3):
        records.apply(event, AT)
    told = get(asker, "/verify", entity=mine.name)
    assert told == {"entity": mine.name, "checked": 3, "broken": None, "intact": True}


def test_parked_and_skip(asker: FlaskClient, records: Records) -> None:
    """An operator sees what is parked, skips what holds the entity back, and is named in the record."""
    mine = Entity()
    first, _, third = mine.events(3)
    records.apply(first, AT)
    records.park(mine.poison(2))
    records.apply(third, AT)
    parked = get(asker, "/parked", entity=mine.name)["parked"]
    assert [(item["sequence"], item["cause"]) for item in parked] == [(2, "poison"), (3, "gap")]
    decision = {"entity": mine.name, "sequence": 2, "reason": "a bad release"}
    response = asker.post("/skip", json=decision, headers=ACME)
    assert json.loads(response.data) == {"verdict": "applied"}
    assert get(asker, "/parked")["parked"] == []
    tombstone = get(asker, "/events", entity=mine.name)["events"][1]["event"]
    assert (tombstone["type"], tombstone["data"]["by"]) == ("record.skipped", "ops@example.com")


@pytest.mark.parametrize(
    ("decision", "status", "detail"),
    [
        ({}, 400, "entity: Field required"),
        ({"entity": "e", "sequence": 1, "reason": ""}, 400, "reason:"),
        ({"entity": "e", "sequence": 1, "reason": "  "}, 400, "reason:"),
        ({"entity": "e", "sequence": 0, "reason": "x"}, 400, "sequence:"),
        ({"entity": "e", "sequence": 1, "reason": "x", "by": "me"}, 400, "by:"),
        ({"entity": "e", "sequence": 1, "reason": "x"}, 404, "nothing waits"),
        ({"entity": "held", "sequence": 3, "reason": "x"}, 409, "sequence: 1 holds"),
    ],
)
def test_a_decision_that_is_none(
    asker: FlaskClient, records: Records, decision: dict[str, Any], status: int, detail: str
) -> None:
    """A decision that cannot be taken is refused with the reason and changes nothing."""
    records.park(Entity(name="held").poison(3))
    response = asker.post("/skip", json=decision, headers=ACME)
    assert response.status_code == status
    assert detail in json.loads(response.data)["detail"]
    assert len(records.parked("acme")) == 1


@pytest.mark.parametrize(
    ("question", "status", "detail"),
    [
        ("/", 404, "no such path; there are /events"),
        ("/event", 404, "no such path"),
        ("/events", 400, "task: name either a task or an entity"),
        ("/events?task=a&entity=b", 400, "task: name either a task or an entity"),
        ("/events?task=a&limit=0", 400, "limit: expected a whole number from 1 to 1000"),
        ("/events?task=a&limit=1001", 400, "limit:"),
        ("/events?task=a&limit=ten", 400, "limit:"),
        ("/events?task=a&after=-1", 400, "after:"),
        ("/events?task=a&after=%D9%A3", 400, "after:"),
        ("/events?task=a&after=" + "9" * 5000, 400, "after:"),
        ("/bill?limit=0", 400, "limit: expected a whole number from 1 to 1000"),
        ("/bill?after=x:e", 400, "after: expected a whole number"),
        ("/parked?limit=1001", 400, "limit:"),
        ("/parked?after=", 400, "after:"),
        ("/verify", 400, "entity: name the entity"),
        ("/skip", 405, "/skip takes POST"),
    ],
)
def test_a_question_that_is_none(asker: FlaskClient, question: str, status: int, detail: str) -> None:
    """A question that makes no sense is refused with a problem that says where."""
    response = asker.get(question, headers=ACME)
    assert response.status_code == status
    assert detail in json.loads(response.data)["detail"]


@pytest.mark.parametrize("path", ["/events?task=task-1", "/bill", "/parked", "/verify?entity=e"])
def test_somebody_must_ask(asker: FlaskClient, path: str) -> None:
    """Without a tenant no question is answered."""
    response = asker.get(path)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_tenants_see_their_own(asker: FlaskClient, records: Records) -> None:
    """A tenant's questions never reach another tenant's record."""
    other = Entity("other", "package/a")
    for event in other.events(4):
        records.apply(event, AT)
    records.park(other.poison(9))
    assert get(asker, "/events", entity="package/a")["events"] == []
    assert get(asker, "/bill")["usage"] == []
    assert get(asker, "/parked")["parked"] == []
    assert get(asker, "/verify", entity="package/a")["checked"] == 0
