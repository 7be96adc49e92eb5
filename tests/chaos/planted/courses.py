"""Small directed runs: each has the faults that make certain bugs visible, and little else."""

import asyncio
import itertools
import os
import random
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from crash.armory import Armory, Hit
from crash.second import SecondWorker

from chaos.links import FORWARD, Link, State
from chaos.modes import HTML_504, MODES, ORDERS, Draw, Fault, executed, fixed
from chaos.nemesis import Deck, Nemesis, Strike
from chaos.profiles import LATEST, LONGEST_LAG, QUARANTINE, SEND_WITHIN, Profile
from purser_common.testing import eventually

LEAVING, BEFORE = "reseller.send.leaving", "consumer.before_effect"
WOKEN_AFTER = SEND_WITHIN + QUARANTINE + 12.0
"""Seconds that the sender is stopped: a person can have said `not_placed`, and it was sent again."""
PATIENT_FOR = 3.0
GIVEN_UP = (24.0, 30.0)
"""Seconds after which an order is executed whose request somebody has given up by then."""
HIDDEN: Final = {"route": ORDERS, "kind": "list_lag", "seconds": LONGEST_LAG, "times": 1_000}
"""A sweep right after a lost answer does not show the order yet."""
REFUSED: Final = ("license.change-requested", "order.completed")
PROVISIONED = {"cleanup.policy": "delete", "retention.ms": "-1"}
"""What topics are provisioned with: whoever alters one alters all of it."""
REACHED_WITHIN = 60.0

Trouble = Callable[[Nemesis], Awaitable[None]]
"""What is done to the system at one time."""


@dataclass(frozen=True)
class Course:
    """A directed run: its size, what the marketplace does wrong in it, and what else happens."""

    profile: Profile
    deck: Callable[[Armory], Deck]
    modes: Sequence[tuple[str, Draw]] = MODES


# -- the marketplace misbehaves ------------------------------------------------------------------------


def _late(chance: random.Random, cautious: bool) -> Fault:
    """So late only where nobody lets an order be sent again."""
    between = GIVEN_UP if cautious else (0.2, LATEST)
    return {"route": ORDERS, "kind": "delay", "seconds": round(chance.uniform(*between), 2)}


LOST: Sequence[tuple[str, Draw]] = (
    executed("reset", {"kind": "reset"}),
    executed("reset in the answer", {"kind": "reset", "mid_body": True}),
    executed("500", {"kind": "status", "status": 500}),
    executed("504 html", HTML_504),
    ("not executed, 504 html", fixed(route=ORDERS, **HTML_504)),
)


def misbehaving(_: Armory) -> Deck:
    """Nothing but what the marketplace does wrong; every order stays out of lists for a while."""

    def deck(nemesis: Nemesis) -> Iterator[Strike]:
        wrong = nemesis.misbehaving
        for account in wrong.market.accounts:
            yield partial(wrong.plant, account, "list lag", HIDDEN)
        while True:
            yield wrong.strike

    return deck


# -- the sender is stopped -----------------------------------------------------------------------------


def paused_sender(armory: Armory) -> Deck:
    """Once: the hop is stopped after its last look at Send-By, and wakes when all is over."""

    def deck(nemesis: Nemesis) -> Iterator[Strike]:
        yield partial(_pause, nemesis, armory)

    return deck


async def _pause(nemesis: Nemesis, armory: Armory) -> None:
    """A second process takes over meanwhile, as it does for a pod that does not answer."""
    stack, struck = nemesis.processes.stack, nemesis.struck
    twin = await asyncio.to_thread(SecondWorker, stack, "reseller", "all")
    try:
        await eventually(lambda: asyncio.to_thread(twin.is_ready), within=REACHED_WITHIN)
        id = armory.arm("reseller", LEAVING, "stop")
        await eventually(lambda: armory.hit(id), within=REACHED_WITHIN)
        hit = armory.hit(id)
        assert hit is not None
        struck.count("SIGSTOP reseller", "reseller", pid=hit.pid, seconds=WOKEN_AFTER)
        with struck.outage("reseller"):
            await _stay_stopped(nemesis, hit, twin.port)
    finally:
        await asyncio.to_thread(twin.close)


async def _stay_stopped(nemesis: Nemesis, hit: Hit, other: int) -> None:
    stack, links = nemesis.processes.stack, nemesis.breaking.links
    try:
        _lead(links, other)
        await nemesis.struck.lasting(WOKEN_AFTER)
    finally:
        os.kill(hit.pid, signal.SIGCONT)
        nemesis.struck.note("SIGCONT reseller", "reseller", pid=hit.pid)
    ready = partial(asyncio.to_thread, stack.is_ready, "reseller")
    await eventually(ready, within=REACHED_WITHIN)
    _lead(links, stack.ports.of("reseller"))


def _lead(links: Mapping[str, Link], port: int) -> None:
    """From now on whoever calls the reseller service calls it there."""
    for name, link in links.items():
        if name.endswith(">reseller"):
            link.target = port
            link.reset()


# -- readers and writers die ---------------------------------------------------------------------------


def troubled_kafka(armory: Armory) -> Deck:
    """The way to Kafka is slow; writers die without it; Kafka refuses one fact and takes the next;
    beside that, readers are killed while they wait for their database, and before they use it."""

    def deck(nemesis: Nemesis) -> Iterator[Strike]:
        writing, reading = asyncio.Lock(), asyncio.Lock()
        kinds = (_slow, _writer_dies, _refused)
        ends: Iterator[Trouble] = itertools.cycle(
            (_reader_dies_waiting, partial(_reader_dies_before, armory))
        )
        while True:
            for kind in nemesis.chance.sample(kinds, len(kinds)):
                yield partial(_in_turn, writing, nemesis, kind)
                yield partial(_in_turn, reading, nemesis, next(ends))

    return deck


async def _reader_dies_waiting(nemesis: Nemesis) -> None:
    """What it had written waits on the link, and arrives after its death."""
    link = nemesis.breaking.links["audit>mongo"]
    # for longer than a consumer that commits by itself takes to commit
    await _broken(nemesis, link, State(cut=frozenset({FORWARD})), (6.0, 8.0), killed="audit")


async def _reader_dies_before(armory: Armory, nemesis: Nemesis) -> None:
    """It has read records, and has not begun to handle them."""
    struck = nemesis.struck
    id = armory.arm("audit", BEFORE, "kill")
    while (hit := armory.hit(id)) is None and not struck.ending.is_set():
        await struck.lasting(0.1)
    armory.disarm(id)
    if hit is None:
        return
    struck.count("SIGKILL audit", "audit", pid=hit.pid)
    with struck.outage("audit"):
        await asyncio.to_thread(nemesis.processes.await_back, "audit", hit.pid)


async def _slow(nemesis: Nemesis) -> None:
    link = nemesis.breaking.links["order>kafka"]
    delay = round(nemesis.chance.uniform(0.4, 0.8), 2)
    await _broken(nemesis, link, State(delay=delay), (5.0, 7.0))


async def _writer_dies(nemesis: Nemesis) -> None:
    link = nemesis.breaking.links["order>kafka"]
    await _broken(nemesis, link, State(refuse=True), (2.0, 4.0), killed="order")


async def _refused(nemesis: Nemesis) -> None:
    """Two topics take no record of any size for a while."""
    admin = AIOKafkaAdminClient(bootstrap_servers=nemesis.processes.stack.kafka)
    await admin.start()
    try:
        await _configure(admin, {**PROVISIONED, "max.message.bytes": "1"})
        nemesis.struck.count("topics refuse", "kafka", topics=REFUSED)
        await nemesis.struck.lasting(nemesis.chance.uniform(3.0, 5.0))
    finally:
        await _configure(admin, PROVISIONED)
        await admin.close()


async def _configure(admin: AIOKafkaAdminClient, settings: Mapping[str, str]) -> None:
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, topic, dict(settings)) for topic in REFUSED
    ]
    for answer in await admin.alter_configs(resources):
        wrong = [resource for resource in answer.resources if resource[0]]
        if wrong:
            raise RuntimeError(f"topics not configured: {wrong}")


async def _broken(
    nemesis: Nemesis,
    link: Link,
    state: State,
    between: tuple[float, float],
    killed: str | None = None,
) -> None:
    """A link is broken for a while; at the end of it a program may be killed."""
    processes, struck = nemesis.processes, nemesis.struck
    gone = 0
    with struck.outage(link.name):
        link.put(state)
        if state.refuse:
            link.reset()
        struck.count(f"link {link.name} broken", link.name, killed=killed)
        try:
            await struck.lasting(nemesis.chance.uniform(*between))
            if killed:
                gone = await asyncio.to_thread(processes.stack.kill, killed)
                struck.count(f"SIGKILL {killed}", killed, pid=gone)
        finally:
            link.put(State())
        if killed:
            await asyncio.to_thread(processes.await_back, killed, gone)


async def _in_turn(turn: asyncio.Lock, nemesis: Nemesis, strike: Trouble) -> None:
    async with turn:
        if not nemesis.struck.ending.is_set():
            await strike(nemesis)


def _profile(name: str, purchases: int, faults: int, minutes: float, **more: object) -> Profile:
    """3 accounts with 3 tenants each, if nothing else is said."""
    size = {"accounts": 3, "tenants": 3, "outstanding": 24, "quiesce_seconds": 60.0} | more
    pace = minutes * 0.85
    return Profile(name, purchases, faults, minutes, pace_minutes=pace, plain=True, **size)  # type: ignore[arg-type]


COURSES: Final = {
    course.profile.name: course
    for course in (
        Course(
            _profile("lost-answers", 36, 28, 0.5, impatient=0.5, patience=PATIENT_FOR),
            misbehaving,
            LOST,
        ),
        Course(
            _profile(
                "late-orders",
                24,
                16,
                0.4,
                patience=PATIENT_FOR,
                rest_seconds=GIVEN_UP[1] + 10,
                times={"SWEEP_SECONDS": "5"},
            ),
            misbehaving,
            (("executed late", _late),),
        ),
        Course(_profile("paused-sender", 24, 3, 1.0, accounts=1, tenants=6), paused_sender),
        Course(_profile("troubled-kafka", 40, 12, 0.6), troubled_kafka),
    )
}
"""Every course by its name."""
