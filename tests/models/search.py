"""An exhaustive search of everything that can happen to a small world.

Every state that any order of steps reaches is visited once, breadth first, so a counterexample is the
shortest there is. A world holds no clock and no chance: what may happen next are its steps.
"""

import gc
from array import array
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

W = TypeVar("W", bound=Hashable)


class By(Enum):
    """Who brings a step about. Only `SYSTEM` is relied on to make progress."""

    SYSTEM = "system"
    FAULT = "fault"
    PERSON = "person"


Step = tuple[str, By, W]
"""What happens, who brings it about, and the world afterwards."""


@dataclass
class Verdict:
    """What a search found: for each violated property the steps of the shortest counterexample."""

    states: int = 0
    violated: dict[str, list[str]] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """The violated properties."""
        return set(self.violated)

    def __str__(self) -> str:
        told = [f"{self.states} states"]
        for name, steps in self.violated.items():
            told += [f"{name} in {len(steps)} steps:", *(f"    {step}" for step in steps)]
        return "\n".join(told)


@dataclass(frozen=True)
class Search(Generic[W]):
    """`never` holds in no state; `reachable` holds somewhere ahead of every state, without help.

    Without help is: by steps of the system alone, with no further fault and no person. A state of which
    `cut` holds is judged and not continued.
    """

    steps: Callable[[W], Iterable[Step[W]]]
    never: Mapping[str, Callable[[W], bool]]
    reachable: Mapping[str, Callable[[W], bool]] = field(default_factory=dict)
    cut: Callable[[W], bool] = lambda _: False

    def run(self, start: W, until: str | None = None) -> Verdict:
        """Visit every state that can be reached from `start`, or as many as violate `until`."""
        gc.disable()  # nothing here makes cycles, and there is much to walk through in vain
        try:
            return self._visited(start, until)
        finally:
            gc.enable()

    def _visited(self, start: W, until: str | None) -> Verdict:
        seen, worlds = {start: 0}, [start]
        came: list[tuple[int, str]] = [(-1, "")]
        back: list[array[int]] = [array("l")]
        ends: set[int] = set()
        verdict = Verdict()
        for here, world in _growing(worlds):
            self._judge(world, here, came, verdict)
            if until in verdict.violated:
                verdict.states = len(worlds)
                return verdict
            if self.cut(world):
                ends.add(here)
                continue
            for label, by, following in self.steps(world):
                there = seen.setdefault(following, len(worlds))
                if there == len(worlds):
                    worlds.append(following)
                    came.append((here, label))
                    back.append(array("l"))
                if by is By.SYSTEM and not until:
                    back[there].append(here)
        verdict.states = len(worlds)
        for name, goal in self.reachable.items():
            goals = ends | {i for i, world in enumerate(worlds) if goal(world)}
            lost = _never_reach(goals, back)
            if lost is not None:
                verdict.violated[name] = _steps_to(lost, came)
        return verdict

    def _judge(self, world: W, here: int, came: list[tuple[int, str]], verdict: Verdict) -> None:
        for name, broken in self.never.items():
            if name not in verdict.violated and broken(world):
                verdict.violated[name] = _steps_to(here, came)


def _growing(worlds: list[W]) -> Iterable[tuple[int, W]]:
    """The list's items, also those that are appended meanwhile."""
    here = 0
    while here < len(worlds):
        yield here, worlds[here]
        here += 1


def _never_reach(goals: set[int], back: list["array[int]"]) -> int | None:
    """The first state from which no goal is reached."""
    reaching = bytearray(len(back))
    front = list(goals)
    for state in front:
        reaching[state] = 1
    while front:
        for before in back[front.pop()]:
            if not reaching[before]:
                reaching[before] = 1
                front.append(before)
    lost = reaching.find(0)
    return lost if lost >= 0 else None


def _steps_to(state: int, came: list[tuple[int, str]]) -> list[str]:
    steps: list[str] = []
    while came[state][0] >= 0:
        state, label = came[state]
        steps.append(label)
    return steps[::-1]
