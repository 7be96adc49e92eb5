"""Faults of links."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from chaos.links import BACK, FORWARD, Link, State
from chaos.profiles import LONGEST_STOP, SANDBOX_STOP
from chaos.struck import Struck
from chaos.wiring import MARKETPLACE

BROKEN_AT_ONCE = 3
CUTS = (frozenset({FORWARD}), frozenset({BACK}), frozenset({FORWARD, BACK}))
KINDS = ("cut", "cut", "slow", "narrow", "refused", "reset", "reset", "torn", "torn")
OFTEN = (MARKETPLACE, "order>reseller", "gateway>order")


@dataclass
class Breaking:
    """Cuts, slows, narrows and resets links, for a while or for one answer."""

    links: Mapping[str, Link]
    struck: Struck
    chance: random.Random

    def __post_init__(self) -> None:
        self._broken: set[str] = set()

    async def strike(self) -> None:
        """Break a link for a while, or reset what is on it."""
        name = self.chance.choice([*self.links, *(OFTEN * 3)])
        kind = self.chance.choice(KINDS)
        if name in self._broken or len(self._broken) >= BROKEN_AT_ONCE:
            return
        link = self.links[name]
        if kind == "reset":
            with self.struck.outage(name):
                self.struck.count("link reset", name, connections=link.reset())
        elif kind == "torn":
            with self.struck.outage(name):
                link.tear()
                self.struck.count("link torn in an answer", name)
        else:
            await self._break(link, kind)

    async def _break(self, link: Link, kind: str) -> None:
        longest = SANDBOX_STOP if link.name == MARKETPLACE else LONGEST_STOP
        seconds = round(min(longest, 0.3 + self.chance.expovariate(0.5)), 2)
        states = {
            "cut": State(cut=self.chance.choice(CUTS)),
            "slow": State(delay=round(self.chance.uniform(0.1, min(5.0, longest)), 2)),
            "narrow": State(rate=1),
            "refused": State(refuse=True),
        }
        state = states[kind]
        self._broken.add(link.name)
        link.put(state)
        told = {"cut": sorted(state.cut), "delay": state.delay, "rate": state.rate}
        self.struck.count(f"link {kind}", link.name, seconds=seconds, **told)
        with self.struck.outage(link.name):
            try:
                await self.struck.lasting(seconds)
            finally:
                link.put(State())
                self._broken.discard(link.name)
