"""When which fault happens: a deck that the seed shuffles, played at the run's pace."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from chaos.breaking import Breaking
from chaos.misbehaving import Misbehaving
from chaos.poison import Poison
from chaos.portal import Portal
from chaos.processes import Processes
from chaos.struck import Struck

Strike = Callable[[], Awaitable[None]]


@dataclass
class Nemesis:
    """Strikes until told to end; `seconds` is the time in which `faults` are meant to happen.

    `deck` draws the faults, in the order in which they happen; it may have an end.
    """

    seed: int
    struck: Struck
    processes: Processes
    breaking: Breaking
    misbehaving: Misbehaving
    portal: Portal
    poison: Poison
    faults: int
    seconds: float
    deck: "Deck"

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.seed}/nemesis")  # noqa: S311
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Strike until the ending is set, then undo what still goes on."""
        pause = self.seconds / self.faults
        for strike in self.deck(self):
            if self.struck.ending.is_set():
                break
            task = asyncio.create_task(_awaited(strike))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            await self.struck.lasting(pause * self.chance.uniform(0.4, 1.4))
            _raise_what_failed(task)
        await asyncio.gather(*self._running)
        await self.misbehaving.heal()


Deck = Callable[[Nemesis], Iterator[Strike]]


def everything(nemesis: Nemesis) -> Iterator[Strike]:
    """Without end: of every 40 faults, one restart of each server and a few of everything."""
    processes = nemesis.processes
    seldom: list[Strike] = [
        lambda: processes.restart("sandbox"),
        processes.rebalance,
        nemesis.misbehaving.expire_tokens,
    ]
    while True:
        for rare in nemesis.chance.sample(seldom, len(seldom)):
            deck: list[Strike] = [
                *[nemesis.misbehaving.strike] * 24,
                *[nemesis.breaking.strike] * 5,
                *[processes.kill] * 2,
                processes.terminate,
                *[processes.freeze] * 2,
                lambda: processes.restart("kafka"),
                lambda: processes.restart("mongo"),
                nemesis.portal.order,
                nemesis.portal.pass_time,
                nemesis.poison.inject,
                rare,
            ]
            yield from nemesis.chance.sample(deck, len(deck))


async def _awaited(strike: Strike) -> None:
    await strike()


def _raise_what_failed(task: "asyncio.Task[None]") -> None:
    if task.done():
        task.result()
