"""The steps of the hop that sends, from the call that reaches it to the outcome that it stores."""

from collections.abc import Iterator
from typing import Any

from .deciding import EARLY, LATE
from .hopping import Next, next_of
from .search import By, Step
from .world import Send, Variant, World, plus, stored, without, works


class Hop:
    """The hop of one variant; what it does next is its own code (`hopping`)."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant

    def call(self, w: World, n: int) -> Iterator[Step[World]]:
        """A call arrives at the hop and asks for its record; before that it is as if on its way."""
        rest = w._replace(calls=without(w.calls, n))
        yield f"the call for attempt {n} is lost", By.FAULT, rest
        if self.variant.repeats_calls and w.calls.count(n) < 2:
            yield f"attempt {n} is handed over twice", By.FAULT, w._replace(calls=plus(w.calls, n))
        send = self.stepped(w, (n, (), "works"))
        arrived = rest._replace(sends=plus(w.sends, send))
        assert self.next(send[1])[0] == "opens"
        record = w.records[n - 1]
        if record is not None and self.variant.one_record:
            yield f"attempt {n} was recorded before", By.SYSTEM, self.told(arrived, send, "exists")
            return
        recorded = stored(arrived, n, record or "open")
        knows = (n, (*send[1], "done"), "stalls")
        stalled = recorded._replace(sends=plus(w.sends, knows))
        yield f"the hop records attempt {n}", By.SYSTEM, stalled
        unsure = self.told(recorded, send, "away")
        yield f"attempt {n} is recorded, which the hop does not learn", By.FAULT, unsure

    def stepped(self, w: World, send: Send) -> Send:
        """The send, when it has read the clock as often as it does before it next waits."""
        return self._clocked(min(w.ages[send[0] - 1], LATE), send)

    def _clocked(self, age: int, send: Send) -> Send:
        n, answers, state = send
        while self.next(answers)[0] == "reads the clock":
            answers = (*answers, age if self.variant.keeps_send_by else EARLY)
        return n, answers, state

    def told(self, w: World, send: Send, answer: str) -> World:
        """The world in which a send was answered and goes on at once, to its end or its next port."""
        n, answers, _ = send
        after = self.stepped(w, (n, (*answers, answer), "works"))
        rest = w._replace(sends=without(w.sends, send))
        if self.next(after[1])[0] == "refuses":
            return rest  # whoever waits for it asks for the attempt, as after any missing answer
        return rest._replace(sends=plus(rest.sends, after))

    def send(self, w: World, send: Send) -> Iterator[Step[World]]:
        """What may become of a send in progress."""
        n, answers, state = send
        yield f"the hop dies with attempt {n}", By.FAULT, w._replace(sends=without(w.sends, send))
        if state == "stalls":
            woken = self.stepped(w, (n, answers, "works"))
            onward = w._replace(sends=plus(without(w.sends, send), woken))
            yield f"the hop learns that attempt {n} is recorded", By.SYSTEM, onward
            return
        if state == "waits":
            yield f"the hop gives attempt {n} up", By.SYSTEM, self.told(w, send, "lost")
            return
        does, told = self.next(answers)
        if does == "sends":
            waits = (n, answers, "waits")
            left = w._replace(posts=plus(w.posts, n), sends=plus(without(w.sends, send), waits))
            yield f"attempt {n} leaves for the marketplace", By.SYSTEM, left
            yield "the marketplace cannot be reached", By.FAULT, self.told(w, send, "no")
        else:
            yield from self._storing(w, send, does, told)

    def _storing(self, w: World, send: Send, does: str, told: str) -> Iterator[Step[World]]:
        """The outcome is stored, and answered to whoever still waits."""
        n, answers, _ = send
        assert does == "stores"
        assert self.next((*answers, "done")) == ("answers", told)
        rest = stored(w._replace(sends=without(w.sends, send)), n, told)
        yield f"the hop stores {told} of attempt {n}, its answer is lost", By.SYSTEM, rest
        if ("waits", n, "") in w.workers:
            heard = works(rest, ("waits", n, ""), ("records", n, told))
            yield f"the hop stores and answers {told} of attempt {n}", By.SYSTEM, heard

    def refuses(self, w: World, n: int) -> bool:
        """Whether the hop's code refuses this call, whenever it arrives."""
        if w.records[n - 1] is None or not self.variant.one_record:
            return False
        asks = (self._clocked(age, (n, (), "works"))[1] for age in (EARLY, LATE))
        return all(self.next((*asked, "exists"))[0] == "refuses" for asked in asks)

    def next(self, answers: tuple[Any, ...]) -> Next:
        """What the hop's code does once its ports have given these answers."""
        return next_of(answers, self.variant.fenced)

    def may_send(self, send: Send) -> bool:
        """Whether the order of a send may still leave."""
        return send[2] == "stalls" or (send[2] == "works" and self.next(send[1])[0] == "sends")
