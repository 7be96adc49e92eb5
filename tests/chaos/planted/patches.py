"""Replacing parts of the product: loudly, so that a patch that fits no longer is noticed."""

import inspect
from types import TracebackType
from typing import Any

Owner = Any
"""A module or a class."""


class DoesNotFit(Exception):
    """The product has no such part any more, or it is called in another way."""


class Patches:
    """What was replaced; used with `with`, all of it is taken back."""

    def __init__(self) -> None:
        self._made: list[tuple[Owner, str, Any]] = []

    def replace(self, owner: Owner, name: str, new: Any) -> None:
        """Put a new part in the place of one that is there. Raises DoesNotFit."""
        if name not in vars(owner):
            raise DoesNotFit(f"{owner.__name__} has no {name}")
        old = vars(owner)[name]
        if inspect.isfunction(old) and _parameters(old) != _parameters(new):
            said = f"{owner.__name__}.{name} takes {_parameters(old)}, not {_parameters(new)}"
            raise DoesNotFit(said)
        setattr(owner, name, new)
        self._made.append((owner, name, old))

    def __enter__(self) -> "Patches":
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        for owner, name, old in reversed(self._made):
            setattr(owner, name, old)

    @property
    def made(self) -> list[str]:
        """What is replaced by something else."""
        return [
            f"{owner.__name__}.{name}"
            for owner, name, old in self._made
            if vars(owner)[name] != old
        ]


def _parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)
