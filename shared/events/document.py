"""What is said about documents: references to them, and what a review concluded."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.events.envelope import Fact
from shared.events.ids import MicroUsd, Position

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Uri = Annotated[str, Field(min_length=3, max_length=2048, pattern=r"^[a-z][a-z0-9+.-]*:[^\x00-\x1f]+$")]


class DocumentRef(BaseModel):
    """Where a document lies and what its bytes hash to; the bytes never travel in an event.

    `uri` is `file:///…`, `s3://…`, `blob:sha256…`; `size` is in bytes; `name` is what people call it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    uri: Uri
    sha256: Sha256
    size: int = Field(ge=0)
    media_type: str = Field(default="application/octet-stream", max_length=127)
    name: str = Field(default="", max_length=512)


class Evidence(BaseModel):
    """One reason for a conclusion: what was seen, and where (character offsets) or against which reference."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, strict=True)

    what: str = Field(max_length=200)
    start: int | None = Field(default=None, ge=0)
    end: int | None = Field(default=None, ge=0)
    weight: float = Field(default=1.0, ge=0)


class DocumentReviewed(Fact):
    """What a review concluded about one document, with the evidence it rests on."""

    type: ClassVar[str] = "document.reviewed"

    document: Position
    name: str
    uri: Uri
    sha256: Sha256
    label: str
    score: float = Field(ge=0, le=1)
    summary: str = Field(max_length=1000)
    evidence: tuple[Evidence, ...]
    verdict: Literal["automatic", "approved", "rejected"]
    reason: str
    decided_by: tuple[str, ...] = ()
    cost_micro_usd: MicroUsd


class DocumentFailed(Fact):
    """One document could not be reviewed; the others of its task are not touched by that."""

    type: ClassVar[str] = "document.failed"

    document: Position
    name: str
    uri: Uri
    step: str
    code: str
    reason: str
    cost_micro_usd: MicroUsd
