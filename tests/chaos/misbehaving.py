"""Faults of the marketplace, planted at the sandbox; one counts when it has hit a call."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from chaos.market import Account, Market
from chaos.modes import MODES, Draw, Fault
from chaos.struck import Struck
from chaos.system import Sandbox


@dataclass
class Misbehaving:
    """Lets the marketplace do wrong to one account's next call."""

    sandbox: Sandbox
    market: Market
    struck: Struck
    chance: random.Random
    modes: Sequence[tuple[str, Draw]] = MODES
    planted: dict[str, str] = field(default_factory=dict)
    """What has not struck yet: the fault's id → its mode."""

    async def strike(self) -> None:
        """Plant one of the modes."""
        account: Account = self.chance.choice(self.market.accounts)
        mode, draw = self.chance.choice(self.modes)
        await self.plant(account, mode, draw(self.chance, account.cautious))

    async def plant(self, account: Account, mode: str, fault: Fault) -> None:
        """Plant a fault for an account."""
        fault = fault | {"login_id": account.login_id}
        if fault["route"] == "POST /token":
            await self._expire(account)
        try:
            made = await self.sandbox.ask("POST", "/sandbox/faults", json=fault)
        except httpx.HTTPError:
            return
        self.planted[made["id"]] = mode
        self.struck.note("planted", account.login_id, mode=mode, spec=fault)

    async def expire_tokens(self) -> None:
        """All tokens of an account become void at once."""
        account: Account = self.chance.choice(self.market.accounts)
        await self._expire(account)
        self.struck.count("tokens expired", account.login_id)

    async def count(self) -> None:
        """Count what has struck since; a restart of the sandbox forgets what has not."""
        before = list(self.planted.items())
        try:
            shown: list[dict[str, Any]] = await self.sandbox.ask("GET", "/sandbox/faults")
        except httpx.HTTPError:
            return
        hits = {one["id"]: one["hits"] for one in shown}
        for id, mode in before:
            if hits.get(id, 0) > 0:
                self.struck.count(f"marketplace: {mode}", "marketplace", id=id)
            if hits.get(id) != 0:
                self.planted.pop(id, None)

    async def heal(self) -> None:
        """Count for the last time, and take every fault back."""
        await self.count()
        await self.sandbox.ask("DELETE", "/sandbox/faults", within=120.0)

    async def _expire(self, account: Account) -> None:
        path = f"/sandbox/logins/{account.login_id}"
        await self.sandbox.ask("PATCH", path, json={"expire_tokens": True})
