from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.approval import Approval, ApprovalPolicy, Level, Person
from shared.core.links import Link, keys_in, link_for, opened, seal
from shared.errors import Forbidden, Permanent

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OLD, NEW, STRANGE = (bytes([number]) * 32 for number in (1, 2, 3))
ANN = Person(name="ann", roles=("reviewer", "gardener"), shown="Ann A.")


def asked(**changes: Any) -> Approval:
    """Return an approval that waits, due in three days."""
    policy = ApprovalPolicy(levels=(Level(approvers=("reviewer",), wait=3 * 86400),), four_eyes=True)
    said = {name: "x" for name in ("id", "task", "entity", "name", "reason")}  # noqa: C420  each may be changed
    return Approval.model_validate(
        said
        | {"tenant": "acme", "run": 1, "document": 0, "digest": "a" * 64, "policy": policy, "requested_by": "bob"}
        | {"requested_at": NOON, "deadline": NOON + timedelta(days=3)}
        | changes
    )


def link() -> Link:
    """Return Ann's link, made at noon."""
    return link_for(asked(), ANN, NOON)


def code(text: str, keys: tuple[bytes, ...] = (NEW,), now: datetime = NOON) -> str:
    """Return why a link is not opened, or nothing."""
    try:
        opened(text, keys, now)
    except Permanent as refused:
        return refused.code
    return ""


def test_a_link_is_opened_as_it_was_made() -> None:
    """What was sealed is what is opened: whose vote, on what, until when, and no role that it does not need."""
    made = link()
    assert opened(seal(made, (NEW,)), (NEW,), NOON) == made
    assert (made.by, made.digest, made.level) == (Person(name="ann", roles=("reviewer",), shown="Ann A."), "a" * 64, 0)


def test_keys_rotate() -> None:
    """A new key in front of the old one seals new links while old ones still open; without the old one they do not."""
    before = seal(link(), (OLD,))
    assert code(before, (NEW, OLD)) == ""
    assert code(seal(link(), (NEW, OLD)), (NEW,)) == ""
    assert code(before, (NEW,)) == "link-forged"
    assert code(before, (STRANGE,)) == "link-forged"


@pytest.mark.parametrize("name", list(Link.model_fields))
def test_every_word_is_sealed(name: str) -> None:
    """No word of a link can be changed under its old seal: not the person, the content, the tenant, nor the expiry."""
    text = seal(link(), (NEW,))
    body, mac = text.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    said[name] = {"level": 1, "expires": said["expires"] + 1, "roles": ["owner"]}.get(name, f"{said[name]}0")
    changed = base64.urlsafe_b64encode(json.dumps(said, separators=(",", ":")).encode()).rstrip(b"=").decode()
    assert code(f"{changed}.{mac}") == "link-forged"


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_no_letter_can_be_changed(at: int, letter: str) -> None:
    """A link with any one letter changed is forged, even where base64 would not see the difference."""
    text = seal(link(), (NEW,))
    at %= len(text)
    changed = text[:at] + letter + text[at + 1 :]
    assert code(changed) == ("" if changed == text else "link-forged")


@given(st.text(max_size=200))
def test_any_text_is_refused(text: str) -> None:
    """Whatever somebody makes up is refused, and nothing else happens."""
    assert code(text) == "link-forged"


def test_a_long_text_is_refused_unread() -> None:
    """A text longer than any link is refused."""
    assert code("a" * 5000 + ".b") == "link-forged"


@pytest.mark.parametrize(("wait", "left"), [(timedelta(days=3), timedelta(hours=24)), (timedelta(hours=2),) * 2])
def test_a_link_expires(wait: timedelta, left: timedelta) -> None:
    """A link is good for a day, and never beyond the deadline at which others would be asked."""
    text = seal(link_for(asked(deadline=NOON + wait), ANN, NOON), (NEW,))
    assert code(text, now=NOON + left - timedelta(seconds=1)) == ""
    assert code(text, now=NOON + left) == "link-over"


@pytest.mark.parametrize("who", [Person(name="eve", roles=("guest",)), Person(name="bob", roles=("reviewer",))])
def test_who_may_not_vote_gets_no_link(who: Person) -> None:
    """A stranger, and the requester under four eyes, get no link."""
    with pytest.raises(Forbidden):
        link_for(asked(), who, NOON)


@pytest.mark.parametrize("changes", [{"status": "approved"}, {"status": "withdrawn"}, {"deadline": NOON}])
def test_what_nobody_waits_for_has_no_link(changes: dict[str, Any]) -> None:
    """There are no links to what was decided, withdrawn, or is overdue."""
    with pytest.raises(Permanent, match="waits for nobody"):
        link_for(asked(**changes), ANN, NOON)


@pytest.mark.parametrize("text", ["short", base64.b64encode(b"x" * 31).decode(), "%%%", "é"])
def test_a_weak_key_is_refused(text: str) -> None:
    """A key that is too short, or not base64, is refused for what it is: a wrong setting."""
    with pytest.raises(Permanent) as refused:
        keys_in(text)
    assert refused.value.code == "not-configured"


def test_no_key_is_no_key() -> None:
    """An empty setting holds no key."""
    assert keys_in("") == keys_in(" , ") == ()


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key is tried with a comparison that takes its time, whichever of them fits."""
    compared: list[bool] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one == other)
        return one == other

    text = seal(link(), (NEW,))
    monkeypatch.setattr("hmac.compare_digest", compare)
    assert code(text, (NEW, OLD)) == ""
    assert compared == [True, False]
