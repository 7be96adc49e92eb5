"""The world of one document's facts: a writer, two publishers, a partition, one consumer.

The publishers run the code's own `Publisher.publish` on a document and a broker that the world answers
for; the mistaken ones stand beside it. Anything may pause or die anywhere, and a send that was given up
may still arrive.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

from purser_common.errors import Unavailable
from purser_common.outbox import Publisher

from .running import Answers, Asks, Raised, Returned, resume
from .search import By, Search, Step, Verdict

Program = Callable[[Answers], Any]


class _Document:
    """The collection as the publisher uses it."""

    name = "documents"

    def __init__(self, ports: Answers) -> None:
        self._ports = ports

    async def find_one(self, _filter: Any, _fields: Any) -> Any:
        facts = await self._ports.call("reads")
        return {"outbox": [_entry(seq) for seq in facts]}

    async def update_one(self, filter: Any, update: Any) -> Any:
        matched = await self._ports.call("removes", filter, update)
        return SimpleNamespace(matched_count=matched)


def _entry(seq: int) -> dict[str, Any]:
    return {"seq": seq, "topic": "customer.added", "key": "c1", "value": b"%d" % seq, "type": "t"}


def the_code(ports: Answers) -> Any:
    """`Publisher.publish`."""

    async def send(_topic: str, _key: str, value: bytes, _headers: Any) -> None:
        await ports.call("sends", int(value))

    publisher = Publisher(SimpleNamespace(send=send))
    return publisher.publish(_Document(ports), "c1")  # type: ignore[arg-type]


def _pull(upto: int) -> dict[str, Any]:
    return {"$pull": {"outbox": {"seq": {"$lte": upto}}}}


async def clears_first(ports: Answers) -> None:
    """Removes before Kafka has acknowledged."""
    facts = await ports.call("reads")
    await ports.call("removes", {}, {**_pull(max(facts)), "$unset": {"outbox_since": ""}})
    for seq in facts:
        await ports.call("sends", seq)


async def clears_all(ports: Answers) -> None:
    """Removes whatever is there once its own facts are acknowledged."""
    for seq in await ports.call("reads"):
        await ports.call("sends", seq)
    await ports.call("removes", {}, {**_pull(1_000_000), "$unset": {"outbox_since": ""}})


async def pipelines(ports: Answers) -> None:
    """Has several sends in flight; one that fails is repeated, whatever has been acknowledged."""
    facts = await ports.call("reads")
    left = list(facts)
    while left:
        left.remove(await ports.call("sends any of", *left))
    await ports.call("removes", {}, _pull(max(facts)))
    await ports.call("removes", {"empty": True}, {"$unset": {"outbox_since": ""}})


class World(NamedTuple):
    """Everything that matters at one moment."""

    written: int = 0
    outbox: tuple[int, ...] = ()
    since: bool = False
    publishers: tuple[tuple[Any, ...] | None, ...] = (None, None)
    """What each has been answered so far; None is idle."""
    late: tuple[int, ...] = ()
    """A send that was given up and may still arrive."""
    log: tuple[int, ...] = ()
    committed: int = 0
    position: int = 0
    consumer: tuple[str, int] = ("polls", 0)
    marks: frozenset[int] = frozenset()
    effects: tuple[int, ...] = ()


@dataclass(frozen=True)
class Variant:
    """Who publishes, how the consumer knows what it has seen, and how far the search goes."""

    program: Program = the_code
    consumer: str = "gate"
    facts: int = 2
    log: int = 4


class Publishing:
    """The steps of one variant."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self._known: dict[tuple[Any, ...], Asks | None] = {}

    def search(self) -> Verdict:
        """Everything that can happen, judged."""
        wanted = set(range(1, self.variant.facts + 1))
        return Search(
            self.steps,
            never={
                "order": lambda w: _firsts(w.log) != sorted(set(w.log)),
                "twice": lambda w: len(set(w.effects)) < len(w.effects),
                "stale": lambda w: list(w.effects) != sorted(w.effects),
                "unfound": lambda w: bool(w.outbox) and not w.since,
            },
            reachable={
                "lost": lambda w: set(w.effects) == wanted,
                "unquiet": lambda w: w.written == self.variant.facts and not w.since,
            },
            cut=lambda w: len(w.log) >= self.variant.log or len(w.effects) > self.variant.facts,
        ).run(World())

    def steps(self, w: World) -> Iterator[Step[World]]:
        """Everything that may happen next."""
        if w.written < self.variant.facts:
            seq = w.written + 1
            wrote = w._replace(written=seq, outbox=(*w.outbox, seq), since=True)
            yield f"the writer saves a state with fact {seq}", By.SYSTEM, wrote
        for publisher in sorted(set(w.publishers), key=repr):
            yield from self._publisher(w, publisher)
        for seq in w.late:
            arrived = w._replace(late=(), log=(*w.log, seq))
            yield f"fact {seq}, given up before, arrives", By.SYSTEM, arrived
        yield from CONSUMERS[self.variant.consumer](w)

    def _publisher(self, w: World, answers: tuple[Any, ...] | None) -> Iterator[Step[World]]:
        if answers is None:
            if w.since:
                yield "a publisher begins", By.SYSTEM, _answered(w, None, ())
            return
        yield "a publisher dies", By.FAULT, _answered(w, answers, None)
        asks = self._asks(answers)
        if asks is None:
            yield "a publisher is done", By.SYSTEM, _answered(w, answers, None)
        elif asks.port == "reads":
            read = _answered(w, answers, (*answers, w.outbox) if w.outbox else None)
            yield f"a publisher reads {w.outbox}", By.SYSTEM, read
        elif asks.port == "removes":
            after, matched = _updated(w, *asks.with_)
            yield "a publisher removes", By.SYSTEM, _answered(after, answers, (*answers, matched))
        else:
            yield from _sent(w, answers, asks)

    def _asks(self, answers: tuple[Any, ...]) -> Asks | None:
        if answers not in self._known:
            told = [Unavailable("Kafka is away") if one == "away" else one for one in answers]
            match resume(self.variant.program, told):
                case Asks() as asks:
                    self._known[answers] = asks
                case Returned() | Raised(Unavailable()):
                    self._known[answers] = None
                case Raised(error):
                    raise error
        return self._known[answers]


def _sent(w: World, answers: tuple[Any, ...], asks: Asks) -> Iterator[Step[World]]:
    for seq in asks.with_:
        answer = seq if asks.port == "sends any of" else None
        logged = w._replace(log=(*w.log, seq))
        acked = _answered(logged, answers, (*answers, answer))
        yield f"Kafka acknowledges {seq}", By.SYSTEM, acked
        if asks.port == "sends":
            failed = _answered(w, answers, (*answers, "away"))
            yield f"the send of {seq} fails", By.FAULT, failed
            if not w.late:
                yield f"the send of {seq} is given up", By.FAULT, failed._replace(late=(seq,))


def _answered(w: World, before: Any, after: Any) -> World:
    """The world in which a publisher has been answered; publishers are interchangeable."""
    place = w.publishers.index(before)
    rest = w.publishers[:place] + w.publishers[place + 1 :]
    return w._replace(publishers=tuple(sorted((*rest, after), key=repr)))


def _updated(w: World, filter: Mapping[str, Any], update: Mapping[str, Any]) -> tuple[World, int]:
    """The update as MongoDB does it, in one step."""
    if "sequence" in filter and filter["sequence"] != w.written:
        return w, 0
    if "empty" in filter and w.outbox:
        return w, 0
    upto = update.get("$pull", {}).get("outbox", {}).get("seq", {}).get("$lte", 0)
    since = w.since and "outbox_since" not in update.get("$unset", {})
    return w._replace(outbox=tuple(seq for seq in w.outbox if seq > upto), since=since), 1


def _firsts(log: tuple[int, ...]) -> list[int]:
    return list(dict.fromkeys(log))


# --- consumers: effect and mark in one document, in two, or none


def _consumer(
    effect: Callable[[World, int], World],
    w: World,
    *,
    then: Callable[[World, int], World] | None = None,
    commits_first: bool = False,
) -> Iterator[Step[World]]:
    """Polls, does `effect` (and `then`, in another write), commits; may die between any two."""
    doing, seq = w.consumer
    if doing == "polls" and w.position < len(w.log):
        seq = w.log[w.position]
        if commits_first:
            taken = w._replace(consumer=("works", seq), committed=w.position + 1)
            yield f"the offset of {seq} is committed", By.SYSTEM, taken
            return
        after = effect(w, seq)
        onward = ("then" if then and after != w else "commits", seq)
        yield f"the consumer handles {seq}", By.SYSTEM, after._replace(consumer=onward)
    elif doing == "works":
        done = effect(w, seq)._replace(consumer=("polls", 0), position=w.position + 1)
        yield f"the consumer handles {seq}", By.SYSTEM, done
    elif doing == "then" and then:
        yield (
            f"the consumer goes on with {seq}",
            By.SYSTEM,
            then(w, seq)._replace(consumer=("commits", seq)),
        )
    elif doing == "commits":
        committed = w._replace(
            consumer=("polls", 0), committed=w.position + 1, position=w.position + 1
        )
        yield f"the offset of {seq} is committed", By.SYSTEM, committed
    if doing != "polls":
        again = w._replace(consumer=("polls", 0), position=w.committed)
        yield "the consumer dies", By.FAULT, again


def _takes_effect(w: World, seq: int) -> World:
    return w._replace(effects=(*w.effects, seq))


def _gated(w: World, seq: int) -> World:
    return _takes_effect(w, seq) if seq > max(w.effects, default=0) else w


def _marks(w: World, seq: int) -> World:
    return w if seq in w.marks else w._replace(marks=w.marks | {seq})


def _unless_marked(w: World, seq: int) -> World:
    return w if seq in w.marks else _takes_effect(w, seq)


def _marks_and_takes_effect(w: World, seq: int) -> World:
    return _marks(_unless_marked(w, seq), seq)


CONSUMERS: Mapping[str, Callable[[World], Iterator[Step[World]]]] = {
    "gate": partial(_consumer, _gated),
    "ids": partial(_consumer, _marks_and_takes_effect),
    "none": partial(_consumer, _takes_effect),
    "mark first": partial(_consumer, _marks, then=_takes_effect),
    "mark last": partial(_consumer, _unless_marked, then=_marks),
    "commit first": partial(_consumer, _takes_effect, commits_first=True),
}
"""How a consumer knows what it has seen."""
