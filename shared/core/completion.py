"""What is asked of a model and what it answered: values only, no provider's names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from shared.errors import Transient

Purpose = Literal["classify", "summarise"]
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class ClassProfile:
    """One class a document may belong to, as a model needs to know it.

    `keywords` are the user's features; `reference` is a full text that a member of the class resembles;
    `markers` are phrases which decide.
    """

    name: str
    keywords: tuple[str, ...] = ()
    reference: str = ""
    markers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Repair:
    """An answer that would not do, and what is wrong with it: the same question is asked once more."""

    answer: str
    complaint: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to a model; any provider's adapter can phrase it, the embedded model reads its fields.

    `answer_schema` is the JSON Schema the answer must satisfy; `max_output_tokens` bounds what may be paid for;
    `deployment` is a name from the policy's candidates. `deadline` is in seconds since the epoch, 0 for none;
    what is set by the router stands below it.
    """

    purpose: Purpose
    instruction: str
    text: str
    answer_schema: dict[str, Any]
    classes: tuple[ClassProfile, ...] = ()
    max_output_tokens: int = 512
    deployment: str = ""  # who is asked; the router decides
    deadline: float = 0.0
    timeout: float = 0.0  # seconds for the whole call, 0: the deployment's own
    reference: str = ""  # the draw's id: the call's name at providers that take one
    repair: Repair | None = None

    @property
    def tokens_in(self) -> int:
        """What money is asked for before the call: a token for every four characters to read, rounded up."""
        return -(-(len(self.instruction) + len(self.text)) // _CHARACTERS_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens one call used, by model."""

    model: str
    tokens_in: int
    tokens_out: int


class Quota(NamedTuple):
    """What a provider told about its limits: what is left, and the seconds until it is all back; None: not told."""

    requests_left: int | None = None
    requests_reset: float = 0.0
    requests_limit: int | None = None
    tokens_left: int | None = None
    tokens_reset: float = 0.0


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer (already JSON, not yet validated against the tool's model) and what it used.

    An answer that is no JSON object is empty, its `fault` says why and `text` is what was said.
    """

    answer: dict[str, Any]
    usage: Usage = field(default_factory=lambda: Usage("none", 0, 0))
    text: str = ""
    fault: str = ""
    quota: Quota | None = None
    request_id: str = ""
    deployment: str = ""  # who gave it; the router knows


class NoAnswer(Transient):
    """A call that ended without an answer. `served` says whether the provider may have done, and bill, the work."""

    def __init__(self, message: str, *, code: str, served: bool, retry_after: float = 0.0) -> None:
        super().__init__(message, retry_after=retry_after)
        self.code = code
        self.served = served
