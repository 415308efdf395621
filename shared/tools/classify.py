"""`classify`: which class of a taxonomy a text belongs to, how sure, and on what evidence.

Asks a model and believes its answer only as far as it can be checked: a label must be a class, and a
quotation must stand in the text.
"""

from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.core.completion import ClassProfile, Prompt
from shared.core.taxonomy import UNKNOWN, Taxonomy
from shared.errors import Permanent
from shared.events.document import DocumentRef, Evidence
from shared.tools._reading import read_taxonomy, read_text
from shared.tools.registry import Toolbox, tool

_HEAD = 48_000  # characters the model gets to read
_INSTRUCTION = (
    "Say which of the classes the text belongs to: the one it is, not one it only mentions. Give a score from 0 "
    f"to 1, evidence quoted word for word, the runner-up, and other classes the text also holds. No class: {UNKNOWN}."
)


class ClassifyInput(BaseModel):
    """A text and the taxonomy to choose from, by reference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: DocumentRef
    taxonomy: DocumentRef


class ClassifyOutput(BaseModel):
    """The class and why. Under the taxonomy's threshold it is `unknown` and the best class is the runner-up.

    `also` names other classes the text holds beside its label.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    score: float = Field(ge=0, le=1)
    evidence: tuple[Evidence, ...]
    runner_up: str = ""
    also: tuple[str, ...] = ()


class _Reason(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    what: str = Field(max_length=200)
    quote: str = Field(default="", max_length=1000)
    weight: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    label: str
    score: float = Field(ge=0, le=1, allow_inf_nan=False)
    evidence: tuple[_Reason, ...] = Field(default=(), max_length=20)
    runner_up: str = ""
    also: tuple[str, ...] = Field(default=(), max_length=50)


@tool("classify", "Say which class of a taxonomy a text belongs to, with score, evidence and runner-up.")
def classify(given: ClassifyInput, at: Toolbox) -> ClassifyOutput:
    """Return the model's answer, checked; a score under the threshold makes the label `unknown`."""
    text = read_text(given.text, at.documents)
    taxonomy = read_taxonomy(given.taxonomy, at.documents)
    answer = _checked(at.models.complete(_prompt(taxonomy, text[:_HEAD])).answer, taxonomy)
    sure = answer.label != UNKNOWN and answer.score >= taxonomy.threshold
    return ClassifyOutput(
        label=answer.label if sure else UNKNOWN,
        score=answer.score,
        evidence=tuple(_evidence(reason, text) for reason in answer.evidence),
        runner_up=answer.runner_up if sure or answer.label == UNKNOWN else answer.label,
        also=answer.also,
    )


def _prompt(taxonomy: Taxonomy, text: str) -> Prompt:
    return Prompt("classify", _INSTRUCTION, text, _answer_schema(taxonomy), _profiles(taxonomy))


@lru_cache(maxsize=16)
def _profiles(taxonomy: Taxonomy) -> tuple[ClassProfile, ...]:
    references = _references() if any(known.reference for known in taxonomy.classes) else {}
    for known in taxonomy.classes:
        if known.reference and known.reference not in references:
            raise Permanent(
                f"class {known.name} refers to {known.reference!r}; texts there are: {', '.join(references)}",
                code="bad-taxonomy",
                where="taxonomy",
            )
    return tuple(
        ClassProfile(known.name, known.keywords, references.get(known.reference, ""), known.markers)
        for known in taxonomy.classes
    )


def _references() -> dict[str, str]:
    from identify.vendor.licenses import LICENSES  # noqa: PLC0415  half a megabyte that only this needs

    return dict(LICENSES)


@lru_cache(maxsize=16)
def _answer_schema(taxonomy: Taxonomy) -> dict[str, Any]:
    schema = _Answer.model_json_schema()
    names = [*(known.name for known in taxonomy.classes), UNKNOWN]
    schema["properties"]["label"] = {"type": "string", "enum": names}
    return schema


def _checked(answer: object, taxonomy: Taxonomy) -> _Answer:
    try:
        checked = _Answer.model_validate(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Permanent(f"the model's answer: {where}: {first['msg']}", code="bad-answer") from error
    if checked.label != UNKNOWN and taxonomy.known(checked.label) is None:
        raise Permanent(f"the model answers {checked.label[:80]!r}, which is no class", code="bad-answer")
    known = {known.name for known in taxonomy.classes}
    kept = tuple(name for name in checked.also if name in known and name != checked.label)
    return checked.model_copy(
        update={"also": kept, "runner_up": checked.runner_up if checked.runner_up in known else ""}
    )


def _evidence(reason: _Reason, text: str) -> Evidence:
    """Keep the place of a quotation that is in the text; one that is not is no evidence of a place."""
    start = text.find(reason.quote) if reason.quote else -1
    if start < 0:
        return Evidence(what=reason.what, weight=reason.weight)
    return Evidence(what=reason.what, start=start, end=start + len(reason.quote), weight=reason.weight)
