"""Links by which one person decides one approval: what they carry, and how they are sealed and opened.

A link is all the identity its holder needs, so it says everything itself: whose vote it is, on which content, until
when. Nothing of it is believed before its seal was checked. Pure: keys and time are arguments.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.core.approval import Approval, Person, check_voter
from shared.errors import Forbidden, Permanent
from shared.events.document import Sha256
from shared.events.ids import Tenant, derive

GOOD_FOR = timedelta(hours=24)
LEAST_KEY = 32  # bytes
_LONGEST = 4096
_CONTEXT = b"agentfabric approval link 1\0"


class Link(BaseModel):
    """One person's vote that was not cast yet: `level` is the approval's, `expires` in seconds since the epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str = Field(max_length=64)
    tenant: Tenant
    approval: str = Field(min_length=1, max_length=80)
    level: int = Field(ge=0)
    digest: Sha256
    person: str = Field(min_length=1, max_length=128)
    roles: list[str] = Field(max_length=32)
    shown: str = Field(default="", max_length=128)
    expires: int = Field(gt=0)

    @property
    def by(self) -> Person:
        """Whose vote it is."""
        return Person(name=self.person, roles=tuple(self.roles), shown=self.shown)


def link_for(approval: Approval, person: Person, now: datetime) -> Link:
    """Return a person's link; Forbidden when they may not decide, Permanent when nothing is left to decide."""
    check_voter(approval, person)
    until = min(now + GOOD_FOR, approval.deadline)
    if approval.status != "pending" or until <= now:
        raise Permanent(f"approval {approval.id} waits for nobody", code="already-decided")
    expires = int(until.timestamp())
    name = derive("link", approval.tenant, approval.id, approval.level, approval.digest, person.name, expires)
    roles = [role for role in approval.approvers if role in person.roles]  # no more than it needs
    who = {"person": person.name, "roles": roles, "shown": person.shown, "expires": expires}
    what = {"tenant": approval.tenant, "approval": approval.id, "level": approval.level, "digest": approval.digest}
    return Link.model_validate({"id": name, **what, **who})


def seal(link: Link, keys: Sequence[bytes]) -> str:
    """Return the link as text, sealed with the first key."""
    body = link.model_dump_json().encode()
    return f"{_text(body)}.{_text(_mac(keys[0], body))}"


def opened(text: str, keys: Sequence[bytes], now: datetime) -> Link:
    """Return a link that one of the keys sealed; Forbidden when none did, Permanent (`link-over`) when it expired."""
    body, mac = _parts(text)
    # Every key is tried, whichever fits: how long it takes tells nothing.
    if not sum([hmac.compare_digest(_mac(key, body), mac) for key in keys]):
        raise _forged()
    try:
        link = Link.model_validate_json(body)
    except ValidationError as error:
        raise _forged() from error
    if now >= datetime.fromtimestamp(link.expires, UTC):
        raise over("this link expired")
    return link


def over(why: str) -> Permanent:
    """Return what to tell somebody whose link is good for nothing any more."""
    return Permanent(f"{why}; ask for a new one", code="link-over")


def keys_in(text: str) -> tuple[bytes, ...]:
    """Return the keys of a setting, base64 with commas: the first seals, all of them open; Permanent for a weak one."""
    try:
        keys = tuple(base64.b64decode(one.strip(), validate=True) for one in text.split(",") if one.strip())
    except (binascii.Error, ValueError) as error:
        raise Permanent("a key of approval links is not base64", code="not-configured") from error
    if any(len(key) < LEAST_KEY for key in keys):
        raise Permanent(f"a key of approval links has at least {LEAST_KEY} bytes", code="not-configured")
    return keys


def _parts(text: str) -> tuple[bytes, bytes]:
    body, dot, mac = text.partition(".")
    if not dot or len(text) > _LONGEST or not text.isascii():
        raise _forged()
    try:
        parts = _bytes(body), _bytes(mac)
    except (binascii.Error, ValueError) as error:
        raise _forged() from error
    if (_text(parts[0]), _text(parts[1])) != (body, mac):  # one link has one text
        raise _forged()
    return parts


def _forged() -> Forbidden:
    return Forbidden("this is no link of ours", code="link-forged")


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, _CONTEXT + body, hashlib.sha256)


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
