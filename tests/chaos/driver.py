"""Clients that buy through the gateway, several at a time, and follow what they bought to its end."""

import asyncio
import itertools
import random
import time
from dataclasses import dataclass, field

from chaos.market import BUYERS, MONTHLY, Market, Tenant
from chaos.system import Gateway, Json, code_of, new_key

REQUESTS = "/v1/license-change-requests"
OPEN = ("placing", "placed", "uncertain", "needs_review")
REPEATED = 0.08
"""Share of calls that are made again after their outcome is known."""
CHANGED = 0.25
"""Share of bought subscriptions whose number of seats is changed afterwards."""

AGAIN_WITHIN = 6.0
"""Seconds after which somebody impatient asks again, at most."""
LOOKS = 5
"""How often somebody looks for what was bought before the change is left for another day."""


@dataclass(frozen=True)
class Lane:
    """A tenant and a product: at most one purchase of it may be open."""

    tenant: Tenant
    product: Json


@dataclass
class Bought:
    """One accepted purchase or change, and when it was asked for and ended (monotonic seconds)."""

    id: str
    kind: str
    asked: float
    ended: float | None = None
    status: str = "placing"


@dataclass
class Driver:
    """Buys `purchases` times, at most `outstanding` at once, spread over `seconds`."""

    gateway: Gateway
    market: Market
    purchases: int
    outstanding: int
    seconds: float
    impatient: float
    """Share of purchases that somebody asks for again while they are open."""
    bought: list[Bought] = field(default_factory=list)
    unknown: int = 0
    """Purchases that never got a definite answer within the patience of their client."""
    refused: dict[str, int] = field(default_factory=dict)
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Buy until all purchases are made or `ending` is set; return when all are followed."""
        self._began = time.monotonic()
        self._numbers = itertools.count(1)
        lanes = [
            Lane(tenant, product)
            for tenant in self.market.tenants
            for product in tenant.account.products
            if product["mpn"] != MONTHLY
        ]
        random.Random(f"{self.market.seed}/lanes").shuffle(lanes)  # noqa: S311
        waiting: asyncio.Queue[Lane] = asyncio.Queue()
        for lane in lanes:
            waiting.put_nowait(lane)
        async with asyncio.TaskGroup() as group:
            for number in range(min(self.outstanding, len(lanes))):
                group.create_task(self._client(number, waiting))

    async def buy_monthly(self) -> None:
        """Buy a monthly term for each tenant of the first account, before anything goes wrong.

        It renews when business time jumps: as an order that inherits the purchase order number.
        """
        chance = random.Random(f"{self.market.seed}/monthly")  # noqa: S311
        for tenant in self.market.accounts[0].tenants:
            [product] = [p for p in tenant.account.products if p["mpn"] == MONTHLY]
            await self._buy(f"monthly-{tenant.customer['id']}", Lane(tenant, product), chance)

    async def open_monthly(self) -> None:
        """Open what was renewed, as somebody who cares for it does: it is then read again."""
        for tenant in self.market.accounts[0].tenants:
            path = f"/v1/tenants/{tenant.id}/subscriptions"
            for shown in (await self.gateway.get(path, limit=200))["items"]:
                if shown["status"] == "active":
                    await self.gateway.get(f"/v1/subscriptions/{shown['id']}", refresh="true")

    async def _client(self, number: int, lanes: "asyncio.Queue[Lane]") -> None:
        chance = random.Random(f"{self.market.seed}/client/{number}")  # noqa: S311
        while not self.ending.is_set() and self.purchases_made < self.purchases:
            count = next(self._numbers)
            await self._paced(count)
            lane = await lanes.get()
            try:
                await self._buy(str(count), lane, chance)
            finally:
                lanes.put_nowait(lane)

    async def _paced(self, count: int) -> None:
        """Wait for the moment of this purchase, or for the end."""
        due = self._began + self.seconds * count / self.purchases
        try:
            async with asyncio.timeout(max(0.0, due - time.monotonic())):
                await self.ending.wait()
        except TimeoutError:
            return

    async def _buy(self, name: str, lane: Lane, chance: random.Random) -> None:
        want = {
            "tenant_id": lane.tenant.id,
            "kind": "buy",
            "product": lane.product,
            "quantity": chance.randint(1, 9),
            "po_number": f"PO-{self.market.seed}-{name}",
        }
        done = await self._asked("purchase", want, chance)
        if done and done["status"] == "completed" and chance.random() < CHANGED:
            await self._change(done, chance)

    async def _change(self, bought: Json, chance: random.Random) -> None:
        """Set the seats of what was bought to another number, as soon as the mirror shows it."""
        subscription = await self._mirrored(bought)
        if subscription is None:
            self.refused["not mirrored yet"] = self.refused.get("not mirrored yet", 0) + 1
            return
        [now] = [
            option["quantity"]
            for option in subscription["options"]
            if option["product"] == bought["product"]
        ]
        want = {
            "tenant_id": bought["tenant_id"],
            "kind": "change_quantity",
            "subscription_id": subscription["id"],
            "product": bought["product"],
            "quantity": chance.choice([n for n in range(1, 13) if n != now]),
            "expected_quantity": now,
            "po_number": f"{bought['po_number']}-C",
        }
        await self._asked("change", want, chance)

    async def _mirrored(self, bought: Json) -> Json | None:
        """The subscription that was bought, which is mirrored shortly after."""
        path = f"/v1/tenants/{bought['tenant_id']}/subscriptions"
        for _ in range(LOOKS):
            found = await self.gateway.get(path, within=600, limit=200)
            for shown in found["items"]:
                if shown["marketplace_subscription_id"] == bought["marketplace_subscription_id"]:
                    subscription: Json = shown
                    return subscription
            await asyncio.sleep(2)
        return None

    async def _asked(self, kind: str, want: Json, chance: random.Random) -> Json | None:
        """Ask for a change of licences and follow it to its end; None when it was not accepted."""
        key, caller = new_key(chance), chance.choice(BUYERS)
        asked = time.monotonic()
        answer = await self.gateway.change(kind, "POST", REQUESTS, want, caller=caller, key=key)
        if answer is None:
            self.unknown += 1
            return None
        if answer.status_code >= 400:
            code = code_of(answer) or str(answer.status_code)
            self.refused[code] = self.refused.get(code, 0) + 1
            return None
        if chance.random() < REPEATED:
            await self.gateway.once(kind, "POST", REQUESTS, want, caller, key)
        bought = Bought(answer.json()["id"], kind, asked)
        self.bought.append(bought)
        if kind != "purchase" or chance.random() >= self.impatient:
            return await self._follow(bought)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again(bought, want, chance))
            followed = group.create_task(self._follow(bought))
        return followed.result()

    async def _again(self, bought: Bought, want: Json, chance: random.Random) -> None:
        """Somebody else asks for the same, while it is open: meant to be refused, else it is followed."""
        await asyncio.sleep(chance.uniform(0.5, AGAIN_WITHIN))
        if bought.status in OPEN:
            again = {**want, "po_number": f"{want['po_number']}-A"}
            await self._asked("purchase again", again, chance)

    async def _follow(self, bought: Bought) -> Json:
        """Look until the request is at its end, with growing pauses."""
        pause = 1.0
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 5.0)
            found: Json = await self.gateway.get(f"{REQUESTS}/{bought.id}", within=600)
            bought.status = found["status"]
            if bought.status not in OPEN:
                bought.ended = time.monotonic()
                return found

    @property
    def purchases_made(self) -> int:
        """How many purchases were accepted."""
        return sum(one.kind.startswith("purchase") for one in self.bought)

    @property
    def open(self) -> list[str]:
        """Requests that are not at their end yet."""
        return [one.id for one in self.bought if one.status in OPEN]
