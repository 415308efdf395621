"""`policy`: does a document with this label need a human? The taxonomy decides, no model is asked."""

from pydantic import BaseModel, ConfigDict, Field

from shared.events.document import DocumentRef
from shared.tools._reading import read_taxonomy
from shared.tools.registry import Toolbox, tool


class PolicyInput(BaseModel):
    """What `classify` concluded. `also` are classes seen beside the label: an approval one of them needs counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field(min_length=1, max_length=80)
    score: float = Field(ge=0, le=1, allow_inf_nan=False)
    taxonomy: DocumentRef
    document: DocumentRef | None = None
    also: tuple[str, ...] = ()


class PolicyOutput(BaseModel):
    """Whether somebody must approve, a sentence why, and the rule that says so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    approval_required: bool
    reason: str
    rule: str


@tool("policy", "Decide by the taxonomy whether a classified document needs a human's approval, and why.")
def policy(given: PolicyInput, at: Toolbox) -> PolicyOutput:
    """Return the taxonomy's ruling on the label."""
    ruling = read_taxonomy(given.taxonomy, at.documents).ruling(given.label, given.score, given.also)
    name = f"{given.document.name}: " if given.document and given.document.name else ""
    return PolicyOutput(approval_required=ruling.required, reason=f"{name}{ruling.reason}", rule=ruling.rule)
