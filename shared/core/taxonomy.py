"""The classes a document may belong to, and which of them need a human: data that the user edits.

Knows the file's form and what it decides; reads no file (the text is an argument) and knows no subject.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.errors import Permanent
from shared.events.strict_toml import load_toml

MOST_CHARACTERS = 256 * 1024
UNKNOWN = "unknown"
_STRICT = ConfigDict(frozen=True, extra="forbid")


class DocumentClass(BaseModel):
    """One class: how it is recognised and whether a document of it needs an approval.

    `markers` are phrases which decide, `keywords` are words which hint, `reference` names a text
    (an SPDX id) that documents of the class resemble. `family` groups classes for people.
    """

    model_config = _STRICT

    name: str = Field(min_length=1, max_length=80)
    description: str = Field(default="", max_length=500)
    keywords: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    reference: str = ""
    approval: bool = False
    family: str = ""

    @model_validator(mode="after")
    def _is_recognisable(self) -> DocumentClass:
        if not (self.keywords or self.markers or self.reference):
            raise ValueError("nothing to recognise it by: give it keywords, markers or a reference")
        if self.name == UNKNOWN:
            raise ValueError(f"{UNKNOWN!r} is what no class fits; it cannot be a class")
        if not all(phrase.strip() for phrase in (*self.keywords, *self.markers)):
            raise ValueError("an empty keyword or marker fits every document")
        return self


class Ruling(BaseModel):
    """Whether a human must approve, why, and by which rule."""

    model_config = _STRICT

    required: bool
    reason: str
    rule: str


class Taxonomy(BaseModel):
    """Classes, the score from which one is believed, and the words that mark sentences worth quoting."""

    model_config = _STRICT

    name: str = Field(min_length=1, max_length=80)
    version: str = Field(default="1", max_length=40)
    threshold: float = Field(ge=0, le=1, allow_inf_nan=False)
    unknown_needs_approval: bool = True
    cues: tuple[str, ...] = ()
    classes: tuple[DocumentClass, ...] = Field(max_length=500)

    @model_validator(mode="after")
    def _has_classes_of_different_names(self) -> Taxonomy:
        if not self.classes:
            raise ValueError("no class; give it at least one")
        names = [known.name for known in self.classes]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"class {twice!r} is there twice; names must differ")
        return self

    def __hash__(self) -> int:
        # Cheap on purpose: a taxonomy is the key of per-process caches, and equality settles the rest.
        return hash((self.name, self.version, len(self.classes)))

    @property
    def may_ask(self) -> bool:
        """Whether any document of this taxonomy could need an approval."""
        return self.unknown_needs_approval or any(known.approval for known in self.classes)

    def known(self, label: str) -> DocumentClass | None:
        """Return the class of that name; None when there is none."""
        return next((known for known in self.classes if known.name == label), None)

    def ruling(self, label: str, score: float = 1.0, also: tuple[str, ...] = ()) -> Ruling:
        """Say whether a document with this label needs an approval; `also` are classes seen beside it.

        Permanent when the label is neither a class nor `unknown`.
        """
        known = self.known(label)
        if known is None and label != UNKNOWN:
            raise Permanent(f"{label!r} is no class of taxonomy {self.name}", code="unknown-label", where="label")
        if known is None:
            return self._of_unknown("no class fits well enough")
        if score < self.threshold:
            return self._of_unknown(f"{label} scores {score:.2f}, below the threshold of {self.threshold:.2f}")
        if known.approval:
            return Ruling(required=True, reason=f"{_described(known)} needs an approval.", rule=f"class:{label}")
        for other in map(self.known, also):
            if other is not None and other.approval:
                reason = f"It is {label}, but it also holds {_described(other)}, which needs an approval."
                return Ruling(required=True, reason=reason, rule=f"also:{other.name}")
        return Ruling(required=False, reason=f"{_described(known)} needs no approval.", rule=f"class:{label}")

    def _of_unknown(self, why: str) -> Ruling:
        need = "a human must look at it" if self.unknown_needs_approval else "the taxonomy lets that pass"
        return Ruling(required=self.unknown_needs_approval, reason=f"Unknown: {why}; {need}.", rule=UNKNOWN)


def _described(known: DocumentClass) -> str:
    return f"{known.name} ({known.family})" if known.family else known.name


def parse_taxonomy(text: str) -> Taxonomy:
    """Read a taxonomy from TOML; Permanent, saying what is wrong and where, when it is not one."""
    try:
        data = load_toml(text, most=MOST_CHARACTERS)
    except Permanent as error:
        raise Permanent(str(error), code="bad-taxonomy", where="taxonomy") from error
    try:
        return Taxonomy.model_validate(data)
    except ValidationError as error:
        raise Permanent(_complaints(error, data), code="bad-taxonomy", where="taxonomy") from error


def _complaints(error: ValidationError, data: dict[str, Any]) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{_place(complaint['loc'], data)}{_sentence(complaint['msg'])}" for complaint in found[:5]]
    return "; ".join(told) + (f"; and {len(found) - 5} more" if len(found) > 5 else "")  # noqa: PLR2004


def _sentence(message: str) -> str:
    return {"Extra inputs are not permitted": "unknown field"}.get(message, message.removeprefix("Value error, "))


def _place(path: tuple[int | str, ...], data: dict[str, Any]) -> str:
    """Name the place as a person would: `classes[2] (MIT).threshold: `."""
    told = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    match path:
        case ("classes", int(position), *_):
            entry = data["classes"][position]
            name = entry.get("name") if isinstance(entry, dict) else None
            here = f"classes[{position}]"
            told = told.replace(here, f"{here} ({name})") if name else told
    return f"{told}: " if told else ""
