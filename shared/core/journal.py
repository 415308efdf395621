"""The journal of paid calls: intent, then result, keyed by task, document, step and input."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Line(BaseModel):
    """A line of the bill: its number in the task's, what it says in micro-USD, and whose call was told of.

    Number 0: a call that was told of and is to be billed.
    """

    model_config = ConfigDict(frozen=True)

    line: int
    cost: int
    deployment: str = ""


class Entry(BaseModel):
    """One step of one document: started (no output yet) or done.

    `cost` is micro-USD; `billed` tells which draws of the lease are on the bill already, so that each is there once;
    `tool` tells whether the answer is the step's own or its fallback's.
    """

    model_config = ConfigDict(frozen=True)

    tenant: str
    task: str
    document: int
    step: str
    tool: str
    input_sha256: str
    attempt: int = 1
    cost: int = 0
    billed: dict[str, Line] = {}
    output: dict[str, Any] | None = None

    @property
    def done(self) -> bool:
        """Whether the result is known."""
        return self.output is not None


def digest(value: Any) -> str:  # noqa: ANN401  any JSON value
    """Return the SHA-256 of a JSON value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
