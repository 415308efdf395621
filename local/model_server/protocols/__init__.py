"""The wire protocols, one file each: a module here that has a `PROTOCOL` is spoken by the server.

A protocol reads a request into a question and words what came of it. It decides nothing, waits for nothing and
keeps nothing; what it cannot read is Permanent, and the service words that as a refusal of status 400.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Protocol

from local.model_server.exchange import Answer, Body, Call, Circumstances, Question, Refusal


class Dialect(Protocol):
    """A wire protocol. `names` are the deployments a client is told of when it asks which there are."""

    @property
    def name(self) -> str:
        """What scenario and log call it."""
        ...

    def serves(self, call: Call) -> bool:
        """Tell whether a request's path is this protocol's."""
        ...

    def listing(self, call: Call, names: Sequence[str]) -> Body | None:
        """Word the list of deployments, None when a GET asks for something else."""
        ...

    def parse(self, call: Call) -> Question:
        """Read the request; Permanent when it is not one."""
        ...

    def answer(self, question: Question, answer: Answer, at: Circumstances) -> Body:
        """Word the answer, streamed if the question wants it so."""
        ...

    def refuse(self, refusal: Refusal, at: Circumstances) -> Body:
        """Word a refusal."""
        ...


@cache
def all_protocols() -> tuple[Dialect, ...]:
    """Return every protocol."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = (getattr(import_module(f"{__name__}.{name}"), "PROTOCOL", None) for name in names)
    return tuple(one for one in found if one is not None)
