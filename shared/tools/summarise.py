"""`summarise`: what a text says in short, resting on sentences that are really in it.

The model quotes; a quotation that is not in the text is refused, so that every summary has evidence.
"""

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.core.completion import ClassProfile, Prompt
from shared.core.text import locate, lowered, words
from shared.errors import Permanent
from shared.events.document import DocumentRef
from shared.tools._reading import read_taxonomy, read_text
from shared.tools._summary import MAX_CHARACTERS, Summary, summary_of
from shared.tools.registry import Toolbox, tool

_HEAD = 48_000  # characters the model gets to read


class SummariseInput(BaseModel):
    """A text, the taxonomy whose cues mark what matters, and how many sentences to quote."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: DocumentRef
    taxonomy: DocumentRef | None = None
    sentences: int = Field(default=3, ge=1, le=10)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    quotes: tuple[str, ...] = Field(min_length=1)
    summary: str = ""


@tool("summarise", "Summarise a text by the sentences that matter most, with their places in the text.")
def summarise(given: SummariseInput, at: Toolbox) -> Summary:
    """Return the model's quotations, each found again in the text; Permanent when one is made up."""
    text = read_text(given.text, at.documents)
    cues = read_taxonomy(given.taxonomy, at.documents).cues if given.taxonomy else ()
    answer = _checked(at.models.complete(_prompt(text[:_HEAD], cues, given.sentences)).answer)
    spans = sorted({_place(text, quote) for quote in answer.quotes[: given.sentences]})
    return summary_of(text, spans, answer.summary)


def _prompt(text: str, cues: tuple[str, ...], sentences: int) -> Prompt:
    quote = {"type": "string", "maxLength": MAX_CHARACTERS - sentences}  # one of them may be long, all together may not
    instruction = (
        f"Summarise the text: quote, word for word, the {sentences} sentences that matter most to somebody who "
        "must act on it, in the text's order. Words that mark such sentences are given as keywords."
    )
    return Prompt(
        purpose="summarise",
        instruction=instruction,
        text=text,
        answer_schema={
            "type": "object",
            "required": ["quotes"],
            "additionalProperties": False,
            "properties": {"quotes": {"type": "array", "minItems": 1, "maxItems": sentences, "items": quote}},
        },
        classes=(ClassProfile("worth quoting", keywords=cues),) if cues else (),
    )


def _checked(answer: object) -> _Answer:
    try:
        return _Answer.model_validate(answer)
    except ValidationError as error:
        said = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise Permanent(f"the model's answer is no list of quotes: {said}", code="bad-answer") from error


def _place(text: str, quote: str) -> tuple[int, int]:
    start = text.find(quote)
    if start >= 0 and quote:
        return start, start + len(quote)
    spoken = words(lowered(quote))
    place = locate(lowered(text), spoken) if spoken else None
    if place is None:
        raise Permanent("the model quotes a sentence that is not in the text", code="bad-answer")
    return place
