"""Facts about findings: where the marketplace, a tenant and Purser do not say the same."""

import uuid
from typing import ClassVar

from pydantic import AwareDatetime, Field

from purser_events.envelope import Fact, Published

_FINDINGS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:purser:findings")


def finding_id(kind: str, object: str) -> str:
    """The id of a finding: the same each time that it is found of this object."""
    return str(uuid.uuid5(_FINDINGS, f"{kind}|{object}"))


class Finding(Published):
    """Something that does not fit together. It closes by itself when it fits again."""

    id: str
    kind: str = Field(
        description="Open set: `ms_customer_id_mismatch` (a subscription names a Microsoft tenant that "
        "is not connected there), `owner_unclear` (several tenants are connected, it names none), "
        "`subscription_vanished` (neither lists nor details show it any more)."
    )
    object: str = Field(
        description="What it is about, as events name it.",
        examples=["subscription/e81f3c40-7b6a-5d2e-a0f5-0c4b8d9a7e04"],
    )
    marketplace: str
    reseller_id: str
    customer_id: str | None = None
    tenant_id: str | None = None
    owner: str = Field(description="The service that found it.", examples=["subscription"])
    detail: str = Field(description="What was found and what can be done, in words.")
    status: str = Field(description="`open` or `closed`.")
    opened_at: AwareDatetime = Field(description="When it was found; found again, when last.")
    closed_at: AwareDatetime | None = None
    times_opened: int = Field(description="How often it was found after it had not been there.")


class FindingFact(Fact):
    """A fact about a finding."""

    state: Finding


class FindingOpened(FindingFact):
    """Something does not fit together, for the first time or again."""

    TOPIC: ClassVar[str] = "finding.opened"


class FindingChanged(FindingFact):
    """What does not fit together still does not, in another way."""

    TOPIC: ClassVar[str] = "finding.changed"


class FindingClosed(FindingFact):
    """What did not fit together does so again."""

    TOPIC: ClassVar[str] = "finding.closed"
