"""What tenant-connection is told."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from purser_common.settings import ServiceSettings

Address = Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")]


class Microsoft(BaseModel):
    """The Entra application that reads tenants' licences, and where Microsoft answers."""

    login_url: Address = "https://login.microsoftonline.com"
    graph_url: Address = "https://graph.microsoft.com/v1.0"
    client_id: str = Field(min_length=1)
    client_secret_file: Path


class Settings(ServiceSettings):
    """Microsoft, the consent's way back and its signature, and the other services."""

    microsoft: Microsoft
    hmac_key_file: Path = Field(description="32 bytes or more; they sign the consent's state.")
    consent_callback_url: Address = Field(
        description="The gateway's /v1/consent/callback as browsers reach it; registered at Microsoft."
    )
    reseller_url: Address
    order_url: Address
    settle_after_seconds: float = Field(
        default=30.0,
        gt=0,
        description="How long a connection may be pending or closing before a job asks again (real time).",
    )
