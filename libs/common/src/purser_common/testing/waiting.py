"""Waiting for something to become true, with a deadline and never by sleeping for luck."""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(
    check: Callable[[], Coroutine[Any, Any, T]], *, within: float = ..., every: float = ...
) -> T: ...
@overload
async def eventually(check: Callable[[], T], *, within: float = ..., every: float = ...) -> T: ...
async def eventually(check: Callable[[], Any], *, within: float = 10.0, every: float = 0.05) -> Any:
    """The check's first true answer; a false one and an AssertionError are tried again.

    `within` and `every` are seconds. Raises AssertionError with the last reason. A check that is made
    of asserts ends with `return True`.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            answer = check()
            value = await answer if inspect.isawaitable(answer) else answer
            if value:
                return value
            reason = f"the check kept answering {value!r}"
        except AssertionError as error:
            reason = str(error) or "an assertion of the check failed"
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {reason}")
        await asyncio.sleep(every)
