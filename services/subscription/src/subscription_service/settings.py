"""What the subscription service is told."""

from pydantic import Field

from purser_common.settings import ServiceSettings


class Settings(ServiceSettings):
    """The reseller service, and how often the mirror is read again."""

    reseller_url: str
    refresh_seconds: float = Field(
        default=900.0, description="Pause between lists of a customer's."
    )
    detail_seconds: float = Field(
        default=21_600.0,
        description="A subscription whose row in a list stays the same is read again after this.",
    )
    lease_seconds: float = Field(
        default=60.0, description="How long a process keeps a reading that it has claimed."
    )
    fresh_seconds: float = Field(
        default=60.0, description="Older than this is read again on opening."
    )
