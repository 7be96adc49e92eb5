"""What the order service is told."""

from pydantic import Field

from purser_common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Peers, and the times of the purchase protocol (all real time)."""

    reseller_url: str
    tenant_connection_url: str
    subscription_url: str
    send_within_seconds: float = Field(
        default=20.0, description="How long after SENDING a request may still leave (Send-By)."
    )
    answer_within_seconds: float = Field(
        default=190.0, description="How long the answer of a sent order is waited for."
    )
    verify_seconds: float = Field(
        default=60.0,
        description="How long listings may look for an order before a person is asked.",
    )
    quarantine_seconds: float = Field(
        default=1_800.0,
        description="Q: how long after Send-By an order may still arrive or become listed.",
    )
    lease_seconds: float = Field(
        default=15.0, description="How long a process keeps what it has claimed; saves work only."
    )
    retry_seconds: float = Field(
        default=5.0, description="Pause before a refused send is repeated."
    )
    sweep_seconds: float = Field(
        default=900.0, description="Pause between sweeps of a calm account."
    )
    verify_every_seconds: float = Field(
        default=2.0, description="Pause between sweeps while an order's outcome is unknown."
    )
    review_within_seconds: float = Field(
        default=14_400.0,
        description="How long a request may wait for a person's answer; later it is overdue.",
    )
