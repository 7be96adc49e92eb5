"""What the reseller service is told."""

from pydantic import BaseModel, Field

from purser_common.settings import Keys, ServiceSettings
from reseller_service.domain.accounts import Limits
from reseller_service.domain.resellers import Region


class Catalogue(BaseModel):
    """How often the marketplace's catalogue is looked at (real time)."""

    sync_every_seconds: float = Field(
        default=900.0, gt=0, description="Time between two looks at a reseller's catalogue."
    )
    look_every_seconds: float = Field(
        default=5.0, gt=0, description="Pause between two searches for a look that is due."
    )
    reread_after_seconds: float = Field(
        default=300.0, ge=0, description="A product that is opened is read again when it is older."
    )


class Settings(ServiceSettings):
    """Peers, regions, keys, and the times of the hop that sends (real time)."""

    keys: Keys
    tenant_connection_url: str
    order_url: str
    regions: tuple[Region, ...] = Field(
        min_length=1,
        description="JSON list of `{code, name, api_url, marketplace_code}`: where each region is.",
    )
    accounts: Limits = Limits()
    catalogue: Catalogue = Catalogue()
    order_answer_seconds: float = Field(
        default=180.0, gt=0, description="How long the marketplace's answer to an order may take."
    )
    fence_seconds: float = Field(
        default=10.0,
        ge=0,
        description="W: a process that was stopped for longer ends before it sends; 0 turns it off.",
    )
    settle_after_seconds: float = Field(
        default=30.0,
        gt=0,
        description="How long a reseller may be closing before a job settles it (real time).",
    )
