"""Facts about stops of all buying, published by the reseller service."""

from typing import ClassVar

from pydantic import AwareDatetime, Field

from purser_events.envelope import Fact, Published


class BuyingStop(Published):
    """A stop of buying: one for each scope, put on, lifted, and put on again."""

    id: str = Field(description="The scope: `all`, or the id of the reseller that is stopped.")
    reseller_id: str | None = Field(default=None, description="Absent: buying is stopped for all.")
    reason: str
    status: str = Field(description="`stopped` or `resumed`.")
    stopped_at: AwareDatetime
    stopped_by: str = Field(description="Who put it on: `user:…` or `client:…`.")
    resumed_at: AwareDatetime | None = None
    resumed_by: str | None = None


class BuyingStopFact(Fact):
    """A fact about a stop of buying."""

    state: BuyingStop


class BuyingStopped(BuyingStopFact):
    """From now on no order leaves in this scope; what was sent before goes on, the rest waits."""

    TOPIC: ClassVar[str] = "buying.stopped"


class BuyingResumed(BuyingStopFact):
    """The stop was lifted; what waited is sent, unless another stop holds it."""

    TOPIC: ClassVar[str] = "buying.resumed"
