"""The run without random faults: long outages of the marketplace and the broker, and restarts."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from program_settings import SERVICES

from chaos import evidence, restarts
from chaos.market import Market
from chaos.outages import Findings, Outage
from chaos.profiles import OUTAGE_SECONDS, TIMES
from chaos.records import now
from chaos.scene import Scene, running

ACCOUNTS, TENANTS, PRODUCTS = 10, 5, 20
"""50 tenants with 20 products each: 1,000 purchases that are open at the same time."""
AGGREGATES = 5_000


@dataclass
class Calm:
    """One run, with its evidence in `directory`."""

    seed: int
    directory: Path
    say: Callable[[str], None] = print
    failures: list[str] = field(default_factory=list)

    async def go(self) -> None:
        """Run, tell, and collect the evidence. Raises StackError."""
        started = now()
        async with running(self.directory, {**TIMES, "SANDBOX_PRODUCTS": f"{PRODUCTS}"}) as scene:
            market = Market(scene.gateway, scene.sandbox, self.seed)
            mpns = [f"SIMGEN:{number:05d}" for number in range(1, PRODUCTS + 1)]
            await market.open(ACCOUNTS, TENANTS, mpns)
            away = self._outage(scene, market, ACCOUNTS * TENANTS * PRODUCTS)
            self._tell("the marketplace was away", await away.of_the_marketplace())
            broken = self._outage(scene, market, ACCOUNTS * TENANTS * 2)
            self._tell("the broker was away", await broken.of_the_broker())
            await evidence.collect(self.directory, scene.stack, scene.sandbox)
            told = {"seed": self.seed, "profile": "outages", "settings": TIMES}
            told |= {"started": started, "ended": now(), "outages": scene.struck.outages}
            told |= {"poison": [], "portal_orders": [], "canaries": market.secrets()}
            told |= {"accounts": [account.shown() for account in market.accounts]}
            evidence.write(self.directory / "run.json", told)
            await asyncio.to_thread(self._restart_all, scene)
        evidence.copy_logs(self.directory / "home", self.directory / "logs")

    def _outage(self, scene: Scene, market: Market, requests: int) -> Outage:
        return Outage(
            scene.stack,
            scene.gateway,
            scene.sandbox,
            market,
            scene.struck,
            OUTAGE_SECONDS,
            requests,
        )

    def _tell(self, what: str, findings: Findings) -> None:
        self.say(f"{what} for {OUTAGE_SECONDS:.0f} s")
        for name, figure in findings.figures.items():
            self.say(f"  {name}: {figure}")
        for failure in findings.failures[:20]:
            self.say(f"  FAILED {failure}")
        self.failures += findings.failures

    def _restart_all(self, scene: Scene) -> None:
        kept = restarts.fill(scene.stack.mongo_url, AGGREGATES)
        self.say(f"restarts with {', '.join(f'{n} {name}' for name, n in kept.items())}")
        for service in SERVICES:
            seconds = restarts.seconds_to_ready(scene.stack, service)
            self.say(f"  {service} ready after {seconds:.1f} s")
            if seconds > restarts.READY_WITHIN:
                self.failures.append(f"{service} was ready only after {seconds:.1f} s")
