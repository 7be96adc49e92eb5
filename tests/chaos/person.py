"""Whoever looks after the review queue: looks at the marketplace's panel, then answers."""

import asyncio
import random
import time
from dataclasses import dataclass, field

from chaos.market import Market
from chaos.system import Gateway, Json, Sandbox, code_of, new_key

EVERY = 1.5


@dataclass
class Person:
    """Settles review items: `link` what the panel shows, else `not_placed` once it is allowed on the
    accounts where it may be said, else `give_up`."""

    gateway: Gateway
    sandbox: Sandbox
    market: Market
    patience: float
    """Seconds that an order may stay absent before a person who may not send it again gives up."""
    settled: dict[str, int] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._chance = random.Random(f"{self.market.seed}/person")  # noqa: S311
        self._accounts = {one.reseller_id: one for one in self.market.accounts}
        self._first: dict[str, float] = {}

    async def run(self) -> None:
        """Settle until cancelled."""
        while True:
            found = await self.gateway.get("/v1/review-items", within=600, limit=200)
            for item in found["items"]:
                self.seen.add(item["id"])
                await self._settle(item)
            await asyncio.sleep(EVERY)

    async def _settle(self, item: Json) -> None:
        since = self._first.setdefault(item["id"], time.monotonic())
        account = self._accounts[item["reseller_id"]]
        shown = await self._panel(item)
        if shown:
            await self._answer(item, answer="link", order_id=shown[0])
            return
        waited = time.monotonic() - since
        if waited > 3 * self.patience or (account.cautious and waited > self.patience):
            await self._answer(item, answer="give_up")
        elif not account.cautious:
            await self._answer(item, answer="not_placed")

    async def _panel(self, item: Json) -> list[str]:
        """Orders that the marketplace executed for this request."""
        asked = {
            "customer_id": item["marketplace_customer_id"],
            "po_number": item["po_number_sent"],
        }
        found = await self.sandbox.ask("GET", "/sandbox/journal", params=asked)
        return [str(order["id"]) for order in found if order["type"] == "sales"]

    async def _answer(self, item: Json, **answer: str) -> None:
        body = {"reason": "looked at the marketplace's panel", **answer}
        path = f"/v1/review-items/{item['id']}/settlements"
        given = await self.gateway.change(
            "settle", "POST", path, body, caller="purchaser", key=new_key(self._chance)
        )
        if given is not None and given.status_code < 400:
            name = answer["answer"]
            self.settled[name] = self.settled.get(name, 0) + 1
        elif given is not None and code_of(given) == "order_linked":
            self.settled["linked_elsewhere"] = self.settled.get("linked_elsewhere", 0) + 1
