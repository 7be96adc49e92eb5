"""The world of one purchase: workers, the hop that sends, networks, the marketplace, people, time.

Everything may be slow, repeated, lost or dead at any point. What the order service and the hop do is
their own code (`deciding`, `hopping`); what varies is the world around it, and the mistakes that a
variant makes on purpose.
"""

from collections.abc import Iterator
from typing import Any

from order_service.domain import purchase as rules

from .deciding import EARLY, LATE, SAFE, Book, requested
from .hopping import closed
from .judging import Judge
from .search import By, Search, Step, Verdict
from .sending import Hop
from .world import IDLE, Listing, Variant, Worker, World, plus, stored, without, works

BY_HAND = ("by hand", "by hand, too")
"""The orders that somebody places in the portal with our purchase order number."""


class Purchasing:
    """The steps of one variant."""

    def __init__(self, book: Book, variant: Variant, forgets: bool = True) -> None:
        self.book = book
        self.variant = variant
        self.judge = Judge(book, variant)
        self.hop = Hop(variant)
        self.forgets = forgets
        self.moves: set[tuple[str, str]] = set()
        """The phases between which the code has moved the purchase."""
        self._forgotten: dict[World, World] = {}

    def search(self, until: str | None = None) -> Verdict:
        """Everything that can happen, judged; or as much as violates `until`."""
        start = World(self.book.number(requested()), (IDLE,) * self.variant.workers)
        return Search(
            self.steps,
            never={
                "double buy": lambda w: len(w.orders) > 1,
                "false link": self.judge.false_link,
                "sent though seen": lambda w: w.sent_though_seen,
            },
            reachable={"lost order": self.judge.accounted_for, "stuck": self.judge.settled},
            cut=lambda w: len(w.orders) > 1,
        ).run(start, until)

    def steps(self, w: World) -> Iterator[Step[World]]:
        """Everything that may happen next."""
        for label, by, after in self._steps(w):
            yield label, by, self._forgetting(after) if self.forgets else after

    def _steps(self, w: World) -> Iterator[Step[World]]:
        for worker in sorted(set(w.workers)):
            yield from self._worker(w, worker)
        for n in sorted(set(w.calls)):
            yield from self.hop.call(w, n)
        for send in dict.fromkeys(w.sends):
            yield from self.hop.send(w, send)
        for n in sorted(set(w.posts)):
            yield from self._post(w, n)
        yield from self._time(w)
        yield from self._sweeper(w)
        yield from self._people(w)
        yield from self._following(w)

    def _forgetting(self, w: World) -> World:
        """The same world without what can have no effect any more, so that equal worlds look equal."""
        if w not in self._forgotten:
            self._forgotten[w] = self._forgotten_of(w)
        return self._forgotten[w]

    def _forgotten_of(self, w: World) -> World:
        calls = tuple(n for n in w.calls if not self.hop.refuses(w, n))
        workers = tuple(sorted(IDLE if self._spent(w, one) else one for one in w.workers))
        w = w._replace(calls=calls, workers=workers, listing=self._news(w))
        awaited = {n for doing, n, _ in workers if doing in ("calls", "waits")} | {*calls}
        if self.judge.phase(w) == rules.SENDING:
            awaited.add(len(w.ages))
        sends = tuple(one for one in w.sends if one[0] in awaited or self.hop.may_send(one))
        records, ages = list(w.records), list(w.ages)
        at_work = {n for n, _, _ in sends}
        for n, record in enumerate(w.records, start=1):
            if n not in awaited:
                records[n - 1] = "no"
            elif record and n not in at_work:
                records[n - 1] = closed(record, self.variant.believes_lost)[1]
            if n < len(ages) and n not in {*awaited, *at_work, *w.posts}:
                ages[n - 1] = SAFE
        if ages and ages[-1] == EARLY and self._ages_unseen(w, len(ages)):
            ages[-1] = LATE
        return w._replace(sends=sends, records=tuple(records), ages=tuple(ages))

    def _news(self, w: World) -> Listing | None:
        if w.listing is None:
            return None
        began, shown, control = w.listing
        decide = self.book.decide
        new = (id for id in shown if decide(w.purchase, "taken", id) != w.purchase)
        return began, tuple(new), control

    def _ages_unseen(self, w: World, n: int) -> bool:
        """Whether nobody can tell any more that the attempt's Send-By has not passed yet."""
        reads = n in w.calls or any(one[0] == n and one[2] == "stalls" for one in w.sends)
        older = w.ages[n - 2] if n > 1 else SAFE
        return self.judge.phase(w) != rules.SENDING and not reads and older != EARLY

    def _spent(self, w: World, worker: Worker) -> bool:
        """Whether what a worker has been told, or will be, is of no use any more."""
        doing, n, told = worker
        if doing == "waits" and w.records[n - 1] and not any(one[0] == n for one in w.sends):
            told = closed(w.records[n - 1], self.variant.believes_lost)[1]
        elif doing != "records":
            return False
        decision, believed = self._recorded(n, told)
        if self.book.decide(w.purchase, *decision) != w.purchase:
            return False
        return believed in ("lost", "504") or len(w.ages) == self.variant.attempts

    def _recorded(self, n: int, told: str) -> tuple[tuple[Any, ...], str]:
        believed = dict(self.variant.believes).get(told, told)
        which = ("believed",) if self.variant.ignores_attempt else ("recorded", n)
        return (*which, believed, self.variant.fenced), believed

    # --- the order service

    def _decided(self, w: World, decision: str, *with_: Any) -> World | None:
        """The world after a decision of the order service; None where its code refuses."""
        after = self.book.decide(w.purchase, decision, *with_)
        if after is None:
            return None
        before, now = self.judge.phase(w), self.book[after].phase
        if before != now:
            self.moves.add((before, now))
        return w._replace(purchase=after)

    def _worker(self, w: World, worker: Worker) -> Iterator[Step[World]]:
        doing, n, told = worker
        if doing == "idle":
            yield from self._idle(w)
            return
        yield "a worker dies", By.FAULT, works(w, worker, IDLE)
        if doing == "calls":
            called = w._replace(calls=plus(w.calls, n))
            yield (
                f"attempt {n} is handed to the hop",
                By.SYSTEM,
                works(called, worker, ("waits", n, "")),
            )
            away = works(w, worker, ("records", n, "no"))
            yield f"the hop cannot be reached for attempt {n}", By.FAULT, away
        elif doing == "waits":
            yield self._closing(w, worker)
        else:
            yield self._recording(w, worker, told)

    def _idle(self, w: World) -> Iterator[Step[World]]:
        purchase = self.book[w.purchase]
        n = len(w.ages)
        if purchase.due_at is None:
            return
        if purchase.phase == rules.READY and n < self.variant.attempts:
            yield self._starting(w, n + 1)
        if purchase.phase == rules.READY and self.variant.by_hand:
            objected = self._decided(w, "objected")
            if objected:
                yield "somebody deletes the mapping", By.PERSON, objected
            withdrawn = self._decided(w, "withdrawn")
            if withdrawn and withdrawn != w:
                yield "somebody removes the tenant", By.PERSON, withdrawn
        if purchase.phase == rules.SENDING:
            does = ("records", n, "no") if self.variant.takes_over else ("waits", n, "")
            yield f"a worker takes attempt {n} over", By.SYSTEM, works(w, IDLE, does)

    def _starting(self, w: World, n: int) -> Step[World]:
        started = self._decided(w, "start_sending")
        if started is None:
            adopted = self._decided(w, "adopted")
            assert adopted is not None
            return "a worker adopts the evidence", By.SYSTEM, adopted
        begun = started._replace(
            ages=(*w.ages, EARLY),
            records=(*w.records, None),
            sent_though_seen=bool(self.judge.seen(w)),
        )
        if w.listing:
            begun = begun._replace(listing=(EARLY, *w.listing[1:]))
        return f"a worker writes SENDING({n})", By.SYSTEM, works(begun, IDLE, ("calls", n, ""))

    def _closing(self, w: World, worker: Worker) -> Step[World]:
        """The hop's answer is missing, so it is asked what became of the attempt."""
        _, n, _ = worker
        if not self.variant.asks_hop:
            taken = works(w, worker, ("records", n, "no"))
            return f"the hop's missing answer for attempt {n} is taken for no", By.SYSTEM, taken
        after, told = closed(w.records[n - 1], self.variant.believes_lost)
        kept = stored(w, n, after) if self.variant.closes else w
        label = f"the hop closes attempt {n}: {told}"
        return label, By.SYSTEM, works(kept, worker, ("records", n, told))

    def _recording(self, w: World, worker: Worker, told: str) -> Step[World]:
        _, n, _ = worker
        free = works(w, worker, IDLE)
        late = self.judge.phase(w) != rules.SENDING or n != len(w.ages)
        if late and self.variant.drops_late:
            return f"a late {told} of attempt {n} is dropped", By.SYSTEM, free
        recorded = self._decided(free, *self._recorded(n, told)[0])
        return f"{told} is recorded for attempt {n}", By.SYSTEM, recorded or free

    # --- the marketplace

    def _post(self, w: World, n: int) -> Iterator[Step[World]]:
        rest = w._replace(posts=without(w.posts, n))
        yield f"the order of attempt {n} is lost on its way", By.FAULT, rest
        if self.variant.repeats_posts and w.posts.count(n) < 2:
            again = w._replace(posts=plus(w.posts, n))
            yield f"the order of attempt {n} is silently sent again", By.FAULT, again
        known = self.variant.unique_po and w.orders
        id = w.orders[0] if known else f"100020{len(w.orders)}"
        executed = rest if known else rest._replace(orders=(*w.orders, id))
        yield f"attempt {n} is executed, and its answer lost", By.SYSTEM, executed
        for send in dict.fromkeys(one for one in w.sends if one[0] == n and one[2] == "waits"):
            taken = self.hop.told(executed, send, f"201 {id}")
            yield f"attempt {n} is executed and answered", By.SYSTEM, taken
            failed = self.hop.told(executed, send, "504")
            yield f"attempt {n} is executed and answered 504", By.FAULT, failed
            for status in self.variant.refusals:
                refused = self.hop.told(rest, send, status)
                yield f"attempt {n} is not executed: {status}", By.SYSTEM, refused

    def _time(self, w: World) -> Iterator[Step[World]]:
        hidden = [id for id in w.orders if id not in w.shown]
        for id in hidden:
            yield f"listings show order {id}", By.SYSTEM, w._replace(shown=plus(w.shown, id))
        for n, age in enumerate(w.ages, start=1):
            older = w.ages[n - 2] if n > 1 else SAFE
            if age < older and (age == EARLY or self._passed(w, n, hidden)):
                aged = w._replace(ages=(*w.ages[: n - 1], age + 1, *w.ages[n:]))
                yield f"Send-By{' + Q' * age} of attempt {n} passes", By.SYSTEM, aged

    def _passed(self, w: World, n: int, hidden: list[str]) -> bool:
        """Whether Q may have passed: what it covers has happened by then."""
        covers = self.variant.covers
        paused = [
            send
            for send in w.sends
            if send[0] == n and send[2] != "stalls" and self.hop.may_send(send)
        ]
        return not (
            ("late" in covers and n in w.posts)
            or ("lag" in covers and hidden)
            or ("pauses" in covers and paused)
        )

    # --- looking, people, and what follows

    def _sweeper(self, w: World) -> Iterator[Step[World]]:
        if w.listing is None:
            if w.ages and self.judge.worth_looking(w):
                full = w._replace(listing=(w.ages[-1], w.shown, True))
                yield "a listing begins", By.SYSTEM, full
                if w.shown:
                    short = w._replace(listing=(w.ages[-1], (), False))
                    yield "a listing lacks its newest order", By.FAULT, short
            return
        yield "the listing ends", By.SYSTEM, self._ended(w, w.listing)
        new = [id for id in w.listing[1] if id not in self.judge.seen(w)]
        if new and self.variant.sweeps_all:
            pushed = self._decided(w._replace(listing=None), "pushed", new[0])
            assert pushed is not None
            yield "the listing's order is kept as evidence alone", By.FAULT, pushed

    def _ended(self, w: World, listing: Listing) -> World:
        began, shown, conclusive = listing
        after = w._replace(listing=None)
        unsettled = (rules.VERIFYING, rules.NEEDS_REVIEW)
        if self.variant.sweeps_all or self.judge.phase(w) in unsettled:
            for id in shown:
                after = self._decided(after, "taken", id) or after
        if self.judge.phase(after) in unsettled:
            now = w.ages[-1]
            began = now if self.variant.dates_listing_at_end else began
            believed = conclusive or self.variant.ignores_control
            after = self._decided(after, "looked", began, believed, now) or after
        return after

    def _people(self, w: World) -> Iterator[Step[World]]:
        if self.judge.phase(w) != rules.NEEDS_REVIEW:
            return
        for id in w.shown:
            linked = self._decided(w, "link", id)
            if linked:
                yield f"a person links order {id}", By.PERSON, linked
        given_up = self._decided(w, "give_up")
        if given_up:
            yield "a person gives up", By.PERSON, given_up
        if self.variant.resend != "never":
            believing = self._decided(w, "fence_believed") if self.variant.ignores_fence else w
            again = self._decided(believing or w, "not_placed", w.ages[-1])
            by = By.PERSON if self.variant.resend == "human" else By.SYSTEM
            if again:
                yield f"a {self.variant.resend} says: not placed, try again", by, again

    def _following(self, w: World) -> Iterator[Step[World]]:
        if not self.variant.by_hand:
            return
        more = [id for id in BY_HAND if id not in w.shown]
        if w.ages and more:
            ordered = w._replace(shown=plus(w.shown, more[0]))
            yield "somebody orders with our number in the portal", By.PERSON, ordered
        if self.judge.phase(w) == rules.PLACED and self.book[w.purchase].due_at is not None:
            for decision in ("completed", "order_failed"):
                followed = self._decided(w, decision)
                if followed:
                    yield f"the order is followed: {decision}", By.SYSTEM, followed
