"""One token source for each reseller's account, as long as its stored credentials stay the same."""

from dataclasses import dataclass
from datetime import datetime

import httpx

from purser_marketplace.token import TokenSource
from reseller_service.domain.resellers import Account, Credentials, Region


@dataclass(frozen=True)
class _Stored:
    """Which stored credentials a token belongs to: another set, region or version has another one."""

    region: str
    credentials: Credentials
    set_at: datetime


class Tokens:
    """The token sources of this process.

    Every call reads its account first, so a set that was replaced is used by no replica any more.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._sources: dict[str, tuple[_Stored, TokenSource]] = {}

    def of(self, account: Account, region: Region) -> TokenSource:
        """The one source of a reseller's account."""
        reseller = account.reseller
        stored = _Stored(reseller.region, account.credentials, reseller.credentials_set_at)
        kept = self._sources.get(reseller.id)
        if kept is None or kept[0] != stored:
            kept = self._sources[reseller.id] = (stored, self.fresh(region, account.credentials))
        return kept[1]

    def fresh(self, region: Region, credentials: Credentials) -> TokenSource:
        """A source of credentials that are not stored yet."""
        return TokenSource(
            self._http,
            region.base_url,
            region.marketplace_code,
            credentials.username.get_secret_value(),
            credentials.password.get_secret_value(),
            credentials.subscription_key.get_secret_value(),
        )

    def forget(self, reseller_id: str) -> None:
        """Drop the source of an account that is gone."""
        self._sources.pop(reseller_id, None)
