"""The envelope of every event: CloudEvents 1.0 with the fabric's extension attributes.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from shared.events.attributes import Extension, Moment, Reference, Scalar, Text, Traceparent
from shared.events.ids import Entity, Sequence, TaskId, Tenant


class Fact(BaseModel):
    """What happened, in the past tense: the `data` of an event.

    Fields this version does not know are kept, so that a newer producer's optional additions
    survive an older consumer.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, strict=True)

    type: ClassVar[str]
    version: ClassVar[int] = 1

    @classmethod
    def dataschema(cls) -> str:
        """Return the URI naming this fact's schema and major version."""
        return f"urn:agentfabric:{cls.type}:{cls.version}"


F = TypeVar("F", bound=Fact)
Id = Annotated[Text, Field(max_length=128)]


class Event(BaseModel, Generic[F]):
    """One fact about one entity, as it travels.

    `partitionkey` is the entity; `sequence` counts the entity's events from 1 without gaps;
    `causationid` names the event or command that led to this one.
    """

    # Deferred: of the catalog's many envelopes a process builds those that it writes.
    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, strict=True, defer_build=True)

    specversion: Literal["1.0"]
    id: Id
    source: Reference
    type: str
    subject: Annotated[Text, Field(max_length=512)] | None = None
    time: Moment
    datacontenttype: Literal["application/json"] = "application/json"  # what CloudEvents says of none
    dataschema: str
    tenant: Tenant
    taskid: TaskId
    partitionkey: Entity
    sequence: Sequence
    causationid: Id | None = None
    traceparent: Traceparent | None = None
    data: F
    __pydantic_extra__: dict[Extension, Scalar] = Field(init=False)  # other attributes, of which CloudEvents says how

    @property
    def entity(self) -> str:
        """The thing whose events stay in order."""
        return self.partitionkey
