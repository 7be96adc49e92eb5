"""What the reseller service is told."""

from pydantic import Field

from purser_common.settings import Keys, ServiceSettings
from reseller_service.domain.accounts import Limits
from reseller_service.domain.resellers import Region


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
