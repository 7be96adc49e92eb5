"""Runs the code's own coroutines as parts of a world, one call of a port at a time.

A coroutine cannot be copied, but it can be run again: what it has been answered so far is its whole
state. `resume` runs it on these answers and tells the call that it makes next.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Asks:
    """The next call: which port, with what."""

    port: str
    with_: tuple[Any, ...]


@dataclass(frozen=True)
class Returned:
    """The coroutine has ended with this."""

    value: Any


@dataclass(frozen=True)
class Raised:
    """The coroutine has ended with this error."""

    error: Exception


class _Stopped(BaseException):
    """No answer is known yet."""


class Answers:
    """The answers of the ports, in order. An answer that is an exception is raised."""

    def __init__(self, answers: Sequence[Any]) -> None:
        self._left = list(answers)
        self.asked: Asks | None = None

    def now(self, port: str, *with_: Any) -> Any:
        """The answer to a plain call."""
        if self.asked is None and not self._left:
            self.asked = Asks(port, with_)
        if self.asked is not None:
            raise _Stopped  # also what a `finally` still asks on the way out
        answer = self._left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def call(self, port: str, *with_: Any) -> Any:
        """The answer to an awaited call."""
        return self.now(port, *with_)


def resume(
    program: Callable[[Answers], Coroutine[Any, Any, Any]], answers: Sequence[Any]
) -> Asks | Returned | Raised:
    """Run a program on these answers, to its next call or its end."""
    ports = Answers(answers)
    try:
        return Returned(finish(program(ports)))
    except _Stopped:
        assert ports.asked is not None
        return ports.asked
    except Exception as error:  # noqa: BLE001  whatever the code raises is its answer
        return Raised(error)


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine all of whose ports answer at once."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise AssertionError("a port did not answer at once")
