"""`excerpt`: the first sentences of a text. Needs no model; what `summarise` falls back to."""

from itertools import islice

from pydantic import BaseModel, ConfigDict, Field

from shared.core.text import clipped, sentences
from shared.events.document import DocumentRef
from shared.tools._reading import read_text
from shared.tools._summary import MAX_CHARACTERS, Summary, summary_of
from shared.tools.registry import Toolbox, tool

_HEAD = 20_000  # characters in which the first sentences are looked for
_HEADING = 30  # a shorter line is a heading, when there is anything longer


class ExcerptInput(BaseModel):
    """A text; the taxonomy is taken so that the tool can stand in for `summarise`, and is not read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: DocumentRef
    taxonomy: DocumentRef | None = None
    sentences: int = Field(default=3, ge=1, le=10)


@tool("excerpt", "Quote the first sentences of a text, with their places; needs no model.")
def excerpt(given: ExcerptInput, at: Toolbox) -> Summary:
    """Return the first sentences that are longer than a heading."""
    text = read_text(given.text, at.documents)
    spans = list(sentences(text[:_HEAD]))
    chosen = islice((span for span in spans if span[1] - span[0] >= _HEADING), given.sentences)
    found = list(chosen) or spans[: given.sentences]
    each = MAX_CHARACTERS // max(len(found), 1) - 1
    return summary_of(text, [clipped(text, start, end, each) for start, end in found])
