"""The envelope: CloudEvents 1.0 in structured JSON, with Purser's extension attributes."""

import uuid
from datetime import datetime
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

CONTENT_TYPE = "application/cloudevents+json"
TYPE_HEADER = "ce_type"

_EVENTS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:purser:events")


class Published(BaseModel):
    """Anything that travels in an event: frozen, and tolerant of fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Change(Published):
    """One field that a change touched."""

    pointer: str = Field(description="JSON Pointer into the state, e.g. `/display_name`.")
    before: Any = Field(default=None, description="Value before; a secret is shown as `set`.")
    after: Any = Field(default=None, description="Value after; a secret is shown as `set`.")


class Fact(Published):
    """Something that happened. Every fact of one aggregate type carries the same `state`."""

    TOPIC: ClassVar[str]

    changes: tuple[Change, ...] = Field(
        default=(), description="What the fact changed, where a person's change made it."
    )

    @classmethod
    def event_type(cls) -> str:
        """The CloudEvents `type`: `purser.<topic>.v1`."""
        return event_type(cls.TOPIC)


def event_type(topic: str) -> str:
    """The CloudEvents `type` of the facts on a topic."""
    return f"purser.{topic}.v1"


D = TypeVar("D", bound=BaseModel | dict[str, Any])


class Envelope(Published, Generic[D]):
    """A CloudEvents 1.0 event as it travels on Kafka (`application/cloudevents+json`).

    Order holds inside one topic and key only. A reader keeps the newest state by (`subject`,
    `sequence`) and treats a gap in `sequence` as normal; a repeated event has the same `id`.
    """

    specversion: str = "1.0"
    id: str = Field(description="Stable for ever: derived from subject, type and sequence.")
    source: str = Field(description="The service that owns the aggregate, e.g. `purser/order`.")
    type: str = Field(description="`purser.<topic>.v1`.")
    subject: str = Field(description="`<aggregate>/<id>`.")
    time: Annotated[AwareDatetime, Field(description="When it happened, UTC.")]
    datacontenttype: str = "application/json"
    dataschema: str = Field(description="Names the JSON Schema of `data`.")
    sequence: int = Field(ge=1, description="Counts the facts of this subject.")
    marketplace: str | None = Field(default=None, description="E.g. `ingram-micro-xvantage`.")
    tenantid: str | None = Field(default=None, description="Purser's id of the tenant concerned.")
    actor: str = Field(description="Who caused it: `user:…`, `client:…` or `service:…`.")
    correlationid: str = Field(description="One id for everything that one call set in motion.")
    causationid: str | None = Field(default=None, description="Id of the event that caused this.")
    traceparent: str | None = Field(default=None, description="W3C trace context of the cause.")
    data: D


def event_id(subject: str, type_: str, sequence: int) -> str:
    """The id of an event: the same for every copy of it, for ever."""
    return str(uuid.uuid5(_EVENTS, f"{subject}|{type_}|{sequence}"))


def envelop(
    fact: Fact,
    *,
    source: str,
    subject: str,
    sequence: int,
    time: datetime,
    actor: str,
    correlation_id: str,
    causation_id: str | None = None,
    marketplace: str | None = None,
    tenant_id: str | None = None,
    traceparent: str | None = None,
) -> Envelope[Fact]:
    """Put a fact into its envelope. `time` must be aware UTC; `sequence` counts from 1."""
    type_ = fact.event_type()
    return Envelope[Fact](
        id=event_id(subject, type_, sequence),
        source=source,
        type=type_,
        subject=subject,
        time=time,
        dataschema=f"urn:purser:schema:{type_}",
        sequence=sequence,
        marketplace=marketplace,
        tenantid=tenant_id,
        actor=actor,
        correlationid=correlation_id,
        causationid=causation_id,
        traceparent=traceparent,
        data=fact,
    )
