"""The hop that sends: the reseller service's own code, run on ports that a world answers.

A send in progress is the answers that its ports have given so far, by name.
"""

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any, Literal

from purser_common.errors import Conflict, Unavailable
from reseller_service.commands.sending import close_attempt, send_order
from reseller_service.domain.accounts import Limits, Standing
from reseller_service.domain.sending import Attempt, Noted, Outcome, not_sent

from .deciding import BEGINNING, EARLY, ID, LATE, SECOND, named, outcome
from .running import Answers, Asks, Raised, Returned, finish, resume

ATTEMPT = Attempt(f"{ID}/1", BEGINNING)
NOW = {EARLY: BEGINNING - SECOND, LATE: BEGINNING + SECOND}
REFUSED = {"exists": Conflict("exists", code="attempt_exists"), "away": Unavailable("away")}

Next = tuple[Literal["opens", "reads the clock", "sends", "stores", "answers", "refuses"], str]
"""What a send does next, and for the last three with which outcome."""


async def _instantly(value: Any = None) -> Any:
    return value


RESELLER = SimpleNamespace(id="r1", buying_enabled=True)


async def _decided(_reseller_id: str, decide: Callable[[Standing], tuple[Standing, Any]]) -> Any:
    return decide(Standing())[1]


def _keeper() -> Any:
    """An account that always has a place: what may send is another model's."""
    return SimpleNamespace(
        resellers=SimpleNamespace(load=lambda _: _instantly(SimpleNamespace(state=RESELLER))),
        stops=SimpleNamespace(holds=lambda _: _instantly(False)),
        accounts=SimpleNamespace(standing=lambda _: _instantly(Standing()), change=_decided),
        limits=Limits(),
        now=lambda: BEGINNING,
    )


def _program(fenced: bool, ports: Answers) -> Any:
    hop: Any = SimpleNamespace(
        credentials=SimpleNamespace(
            account=lambda _: _instantly(SimpleNamespace(reseller=RESELLER))
        ),
        keeper=_keeper(),
        keep=lambda _: None,
        place_seconds=60.0,
        egress=SimpleNamespace(
            open=lambda *_: ports.call("opens"),
            settle=lambda _, found: ports.call("stores", found),
        ),
        sender=SimpleNamespace(
            authorize=lambda _: _instantly({}), send=lambda *_: ports.call("sends")
        ),
        fenced=lambda: fenced,
        now=lambda: ports.now("reads the clock"),
    )
    return send_order(hop, "r1", ATTEMPT, b"{}")


@cache
def next_of(answers: tuple[Any, ...], fenced: bool) -> Next:
    """What `send_order` does after these answers: ages for the clock, names for the rest."""
    told = [_answer(answer, fenced) for answer in answers]
    match resume(lambda ports: _program(fenced, ports), told):
        case Asks("stores", (Outcome() as found,)):
            return "stores", named(found)
        case Asks(port, _):
            return port, ""  # type: ignore[return-value]
        case Returned(Outcome() as found):
            return "answers", named(found)
        case Raised(Conflict() | Unavailable()):
            return "refuses", ""
        case other:
            raise AssertionError(f"the hop ended with {other}")


def _answer(answer: Any, fenced: bool) -> Any:
    if isinstance(answer, int):
        return NOW[min(answer, LATE)]
    if answer in REFUSED:
        return REFUSED[answer]
    return None if answer == "done" else outcome(answer, fenced)


@cache
def closed(record: str | None, believe_lost: bool) -> tuple[str | None, str]:
    """`close_attempt` on what is stored: what is stored afterwards, and what it answers.

    A record is None (never came), `open` (no outcome stored) or the outcome's name. With
    `believe_lost`, a record without an outcome is taken for one that was not sent.
    """
    after = [record]

    async def close(_id: str, _at: Any, outcome: Outcome) -> bool:
        if record is None:
            after.append(named(outcome))
        return record is None

    async def noted(_id: str) -> Noted:
        if record == "open":
            known = not_sent("it was not stored", True) if believe_lost else None
        else:
            known = outcome(str(record), True)
        return Noted("r1", True, known)

    hop: Any = SimpleNamespace(
        egress=SimpleNamespace(close=close, noted=noted), keeper=_keeper(), now=lambda: BEGINNING
    )
    answer: Outcome = finish(close_attempt(hop, ATTEMPT.id))
    return after[-1], named(answer)
