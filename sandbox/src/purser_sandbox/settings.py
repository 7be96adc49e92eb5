"""What the sandbox can be told from outside; every setting has the prefix ``SANDBOX_``."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ResellerList = Literal["empty", "itself", "403"]
VendorRules = Literal["refuse", "error_later"]


class Settings(BaseSettings):
    """Process settings. Durations are seconds."""

    model_config = SettingsConfigDict(env_prefix="SANDBOX_", extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8610, ge=1, le=65535)
    data_dir: Path = Path(".local/sandbox")
    public_url: str = ""
    """Address that browsers and services use; default ``http://HOST:PORT``."""
    log_level: str = "warning"

    resellers: int = Field(default=2, ge=2, le=500)
    """Resellers below the distributor; the leaf reseller comes on top."""
    customers: int = Field(default=3, ge=2, le=1000)
    """Customers of each reseller."""
    products: int = Field(default=0, ge=0, le=10_000)
    """Catalogue rows added to the fixed catalogue."""
    subscriptions: int = Field(default=6, ge=0, le=20_000)
    """Active subscriptions; no reseller's first customer gets one."""
    removed_subscriptions: int = Field(default=0, ge=0, le=50_000)
    orders: int = Field(default=0, ge=0, le=100_000)
    """Historical orders beyond the one of each subscription, about 70 % of them renewals."""

    submitted_seconds: float = Field(default=0.3, ge=0)
    """How long an order stays ``submitted``."""
    processing_seconds: float = Field(default=0.7, ge=0)
    """How long it then stays ``processing``. Both 0: completed at the first read."""
    token_seconds: int = Field(default=1500, ge=1)
    expired_bearer: Literal[401, 403] = 401
    reads_per_minute: int = Field(default=600, ge=0)
    """How many single objects a login may read in any minute before it gets 429; 0: any number."""
    strict: bool = False
    """Refuse unknown body fields and query parameters, which the real marketplace ignores."""
    leaf_reseller_list: ResellerList = "empty"
    vendor_rules: VendorRules = "refuse"
    """Seats down or cancellation after seven days: refused at once, or accepted and then error."""
    max_page_size: int = Field(default=500, ge=1)

    entra_client_id: str = "purser"
    entra_client_secret: str = "purser-consent-secret"  # noqa: S105 - public demo data
    graph_token_seconds: int = Field(default=3599, ge=1)
    oidc_token_seconds: int = Field(default=3600, ge=1)
    oidc_audience: str = "purser-api"

    @property
    def base_url(self) -> str:
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def issuer(self) -> str:
        return f"{self.base_url}/oidc"
