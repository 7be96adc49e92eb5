"""What tenant-connection is told."""

from pathlib import Path

from pydantic import BaseModel

from purser_common.settings import ServiceSettings


class Microsoft(BaseModel):
    """The Entra application that reads tenants' licences."""

    login_url: str
    graph_url: str
    client_id: str
    client_secret_file: Path


class Settings(ServiceSettings):
    """Microsoft, the consent's signature, and the reseller service."""

    microsoft: Microsoft
    hmac_key_file: Path
    consent_callback_url: str
    reseller_url: str
