"""One run: prepare, chaos, heal, quiesce, collect, judge."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crash.armory import Armory

from chaos import evidence
from chaos.breaking import Breaking
from chaos.driver import Driver
from chaos.market import MONTHLY, YEARLY, Market
from chaos.misbehaving import Misbehaving
from chaos.modes import MODES, Draw
from chaos.nemesis import Deck, Nemesis, everything
from chaos.person import Person
from chaos.poison import Poison
from chaos.portal import BY_HAND, Portal
from chaos.processes import Processes
from chaos.profiles import TIMES, Profile
from chaos.records import now
from chaos.scene import Scene, running

TELL_EVERY = 15.0
CAPPED = 60.0
"""What one account may spend a day for each purchase that is its share: less than it would."""


@dataclass
class Figures:
    """What a run measured."""

    started: str = ""
    ended: str = ""
    prepared_seconds: float = 0.0
    chaos_seconds: float = 0.0
    quiesced_seconds: float | None = None
    memory_before: dict[str, int] = field(default_factory=dict)
    memory_after: dict[str, int] = field(default_factory=dict)


@dataclass
class Run:
    """A profile under a seed, with its evidence in `directory`.

    `deck` and `modes` are the faults that it draws, `own` settings of single services, and `armory` is
    there where faults happen at crash points.
    """

    profile: Profile
    seed: int
    directory: Path
    say: Callable[[str], None] = print
    deck: Deck = everything
    modes: Sequence[tuple[str, Draw]] = MODES
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    armory: Armory | None = None
    figures: Figures = field(default_factory=Figures)

    async def go(self) -> None:
        """Run and collect. Raises StackError when the system does not come up."""
        self.figures.started = now()
        points = self.armory.environment if self.armory else {}
        async with running(self.directory, {**self._times, **points}, self.own) as scene:
            await self._prepare(scene)
            await self._chaos()
            await self._quiesce()
            await self._collect()
        evidence.copy_logs(self.directory / "home", self.directory / "logs")

    @property
    def _times(self) -> dict[str, str]:
        return {**TIMES, **self.profile.times}

    async def _prepare(self, scene: Scene) -> None:
        began = time.monotonic()
        profile = self.profile
        self.scene, self.struck, self.history = scene, scene.struck, scene.history
        self.market = Market(scene.gateway, scene.sandbox, self.seed)
        mpns = YEARLY if profile.plain else (*YEARLY, MONTHLY)
        await self.market.open(profile.accounts, profile.tenants, mpns)
        if not profile.plain:
            [*_, last] = self.market.accounts
            await self.market.limit(last, round(CAPPED * profile.purchases / profile.accounts))
        seconds = profile.pace_minutes * 60
        self.driver = Driver(
            scene.gateway,
            self.market,
            profile.purchases,
            profile.outstanding,
            seconds,
            profile.impatient,
        )
        self.nemesis = self._nemesis(scene, seconds)
        self.person = Person(scene.gateway, scene.sandbox, self.market, profile.patience)
        if not profile.plain:
            await self.driver.buy_monthly()
        self.figures.memory_before = await asyncio.to_thread(scene.stack.memory)
        self.figures.prepared_seconds = time.monotonic() - began
        tenants = len(self.market.tenants)
        self.say(
            f"{len(self.market.accounts)} accounts, {tenants} tenants after "
            f"{self.figures.prepared_seconds:.0f} s"
        )

    def _nemesis(self, scene: Scene, seconds: float) -> Nemesis:
        def chance(name: str) -> random.Random:
            return random.Random(f"{self.seed}/{name}")  # noqa: S311

        struck, sandbox, market = self.struck, scene.sandbox, self.market
        return Nemesis(
            self.seed,
            struck,
            Processes(scene.stack, struck, chance("processes")),
            Breaking(scene.wiring.links, struck, chance("links")),
            Misbehaving(sandbox, market, struck, chance("modes"), self.modes),
            Portal(sandbox, market, struck, chance("portal")),
            Poison(scene.stack.kafka, market, struck, chance("poison")),
            self.profile.faults,
            seconds,
            self.deck,
        )

    async def _chaos(self) -> None:
        """Purchases under faults until both numbers are reached, or the time is over."""
        began = time.monotonic()
        self.reviewing = asyncio.create_task(self.person.run())
        self.driving = asyncio.create_task(self.driver.run())
        striking = asyncio.create_task(self.nemesis.run())
        deadline = began + self.profile.minutes * 60
        told = 0.0
        while time.monotonic() < deadline and not self._reached:
            await asyncio.sleep(0.5)
            for task in (self.driving, striking, self.reviewing):
                if task.done() and task.exception():
                    raise task.exception() or AssertionError
            if time.monotonic() - told > TELL_EVERY:
                await self.nemesis.misbehaving.count()
                told = time.monotonic()
                self.say(
                    f"{told - began:5.0f} s: {self.driver.purchases_made} purchases, "
                    f"{len(self.driver.open)} open, {self.struck.total} faults, "
                    f"{self.history.indefinite} indefinite"
                )
        self.driver.ending.set()
        self.struck.ending.set()
        await striking
        self.figures.chaos_seconds = time.monotonic() - began
        self.struck.note("healed", "everything")

    @property
    def _reached(self) -> bool:
        return (
            self.driver.purchases_made >= self.profile.purchases
            and self.struck.total >= self.profile.faults
        )

    async def _quiesce(self) -> None:
        """Wait until nothing is open, nothing waits in an outbox, and no group lags."""
        began = time.monotonic()
        deadline = began + self.profile.quiesce_seconds
        quiet = False
        if not self.profile.plain:
            await self.driver.open_monthly()
        while not quiet and time.monotonic() < deadline:
            await asyncio.sleep(1)
            if time.monotonic() - began < self.profile.rest_seconds:
                continue
            quiet = self.driving.done() and await evidence.is_quiet(self.scene.stack)
        if quiet:
            self.figures.quiesced_seconds = time.monotonic() - began
        self.say(
            f"quiet after {time.monotonic() - began:.0f} s"
            if quiet
            else f"not quiet within {self.profile.quiesce_seconds:.0f} s: "
            f"{len(self.driver.open)} requests open"
        )
        for task in (self.driving, self.reviewing):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _collect(self) -> None:
        stack = self.scene.stack
        self.figures.memory_after = await asyncio.to_thread(stack.memory)
        self.figures.ended = now()
        await evidence.collect(self.directory, stack, self.scene.sandbox)
        evidence.write(self.directory / "run.json", self._described())

    def _described(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "profile": self.profile.name,
            "started": self.figures.started,
            "ended": self.figures.ended,
            "settings": self._times,
            "accounts": [account.shown() for account in self.market.accounts],
            "outages": self.struck.outages,
            "poison": evidence.that_arrived(self.nemesis.poison.injected, self.directory),
            "spend_caps": [
                {"reseller_id": account.reseller_id, **account.cap}
                for account in self.market.accounts
                if account.cap
            ],
            "portal_orders": evidence.made_by_hand(self.directory, BY_HAND),
            "canaries": self.market.secrets(),
        }
