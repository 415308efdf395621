"""What operators did, as a chain: each deed carries the hash of the one before; none can be changed or left out unseen.

Values and their text; who keeps them is not known here.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import Permanent
from shared.events.attributes import Moment

Act = Literal["policy", "stop", "start", "settle"]


class Deed(BaseModel):
    """Who did what, when and why; `digest` is of the text that was written, `policy` the version then in force.

    It is noted before it is done: `revision` says which writing of the setting it was to be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    act: Act
    of: str = Field(max_length=80)
    by: str = Field(min_length=1, max_length=200)
    at: Moment
    reason: str = Field(default="", max_length=500)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    revision: int = Field(ge=1)
    policy: str = Field(max_length=64)
    before: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @property
    def text(self) -> str:
        """What is kept of it."""
        return self.model_dump_json()

    @property
    def hash(self) -> str:
        """What the next one carries."""
        return sha256(self.text)


def deed_in(text: str) -> Deed:
    """Return the deed that a text holds; Permanent when it holds none."""
    try:
        return Deed.model_validate_json(text)
    except ValidationError as error:
        raise Permanent(f"it is no deed: {error.error_count()} errors", code="broken-trail") from error


def follows(deed: Deed, number: int, before: str) -> bool:
    """Tell whether a deed is the one of that number, after the one with that hash."""
    return deed.number == number and deed.before == before


def sha256(text: str) -> str:
    """Return a text's digest."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogateescape")).hexdigest()
