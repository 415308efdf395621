"""What is asked of a model and what it answered: values only, no provider's names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

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
class Prompt:
    """One question to a model; any provider's adapter can phrase it, the embedded model reads its fields.

    `answer_schema` is the JSON Schema the answer must satisfy; `max_output_tokens` bounds what may be paid for;
    `deployment` is a name from the policy's candidates.
    """

    purpose: Purpose
    instruction: str
    text: str
    answer_schema: dict[str, Any]
    classes: tuple[ClassProfile, ...] = ()
    max_output_tokens: int = 512
    deployment: str = ""  # who is asked; the router decides

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


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer (already JSON, not yet validated against the tool's model) and what it used."""

    answer: dict[str, Any]
    usage: Usage = field(default_factory=lambda: Usage("none", 0, 0))
