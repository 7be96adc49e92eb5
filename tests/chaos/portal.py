"""What happens at the marketplace without Purser: orders made by hand, and time that passes."""

import random
from dataclasses import dataclass
from typing import Any

import httpx

from chaos.market import Account, Market
from chaos.struck import Struck
from chaos.system import Sandbox

BY_HAND = "BY-HAND"
MONTH = 32 * 86_400.0


@dataclass
class Portal:
    """Somebody at the marketplace's own panel, with the accounts' own logins."""

    sandbox: Sandbox
    market: Market
    struck: Struck
    chance: random.Random

    def __post_init__(self) -> None:
        self._months = 0
        self._orders = 0

    async def order(self) -> None:
        """Buy by hand: what one of our tenants might buy through Purser at the same time."""
        account: Account = self.chance.choice(self.market.accounts)
        tenant = self.chance.choice(account.tenants)
        product = self.chance.choice(account.products)
        self._orders += 1
        po_number = f"{BY_HAND}-{self.market.seed}-{self._orders}"
        line = {
            "mpn": product["mpn"],
            "vendor": product["vendor"],
            "subscriptionPeriod": product["subscription_period"],
            "billingPeriod": product["billing_period"],
            "quantity": self.chance.randint(1, 9),
        }
        body = {
            "type": "sales",
            "customerId": tenant.customer["id"],
            "poNumber": po_number,
            "products": [line],
        }
        await self._send(account, body)
        self.struck.count("order by hand", account.login_id, po_number=po_number)

    async def _send(self, account: Account, body: dict[str, Any]) -> None:
        """Whether it was executed, the journal says; an answer may be lost here too."""
        login = account.login
        base = f"/marketplace/{login['region']}"
        headers = {"X-Subscription-Key": login["subscription_key"]}
        try:
            told = await self.sandbox.once(
                "POST",
                f"{base}/token",
                json={"marketplace": login["marketplace"]},
                auth=(login["username"], login["password"]),
                headers=headers,
            )
            bearer = {"Authorization": f"Bearer {told['token']}", **headers}
            await self.sandbox.once("POST", f"{base}/orders", json=body, headers=bearer)
        except (httpx.HTTPError, ValueError, KeyError):
            return

    async def pass_time(self) -> None:
        """Business time jumps: first over a renewal of monthly terms, then by minutes or hours."""
        seconds = self.chance.uniform(60, 7_200) if self._months else MONTH
        self._months += 1
        try:
            await self.sandbox.ask("POST", "/sandbox/clock", json={"advance_seconds": seconds})
        except httpx.HTTPError:
            return
        self.struck.count("clock jump", "business time", seconds=round(seconds))
