"""The envelope of every event: CloudEvents 1.0 with the fabric's extension attributes.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from __future__ import annotations

from typing import ClassVar, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.events.ids import Entity, Sequence, TaskId, Tenant


class Fact(BaseModel):
    """What happened, in the past tense: the `data` of an event.

    Fields this version does not know are kept, so that a newer producer's optional additions
    survive an older consumer.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    type: ClassVar[str]
    version: ClassVar[int] = 1

    @classmethod
    def dataschema(cls) -> str:
        """Return the URI naming this fact's schema and major version."""
        return f"urn:agentfabric:{cls.type}:{cls.version}"


F = TypeVar("F", bound=Fact)


class Event(BaseModel, Generic[F]):
    """One fact about one entity, as it travels.

    `partitionkey` is the entity; `sequence` counts the entity's events from 1 without gaps;
    `causationid` names the event or command that led to this one.
    """

    # Deferred: of the catalog's many envelopes a process builds those that it writes.
    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, defer_build=True)

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(min_length=1, max_length=128)
    source: str = Field(min_length=1, max_length=256)
    type: str
    subject: str | None = Field(default=None, max_length=512)
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str
    tenant: Tenant
    taskid: TaskId
    partitionkey: Entity
    sequence: Sequence
    causationid: str | None = Field(default=None, max_length=128)
    traceparent: str | None = Field(default=None, pattern=r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
    data: F

    @property
    def entity(self) -> str:
        """The thing whose events stay in order."""
        return self.partitionkey
