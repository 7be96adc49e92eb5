"""What the gateway is told."""

from pathlib import Path

from pydantic import BaseModel

from purser_common.settings import ServiceSettings


class Oidc(BaseModel):
    """The issuer whose access tokens are accepted."""

    issuer: str
    audience: str


class Settings(ServiceSettings):
    """The owners behind the public API, and who is let in first."""

    oidc: Oidc
    hmac_key_file: Path
    bootstrap_admins: tuple[str, ...] = ()
    reseller_url: str
    tenant_connection_url: str
    subscription_url: str
    order_url: str
    audit_url: str
