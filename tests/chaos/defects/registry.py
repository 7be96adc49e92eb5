"""The defects that the checker must tell, and the sound run that they are planted into."""

from collections.abc import Callable
from typing import Any

from chaos.synthetic import SyntheticRun

PLANTS: dict[str, tuple[str, Callable[[SyntheticRun], Any]]] = {}
Plant = Callable[[SyntheticRun], Any]


def violates(invariant: str) -> Callable[[Plant], Plant]:
    """Registers a defect under what it is told as."""

    def register(plant: Plant) -> Plant:
        PLANTS[plant.__name__] = (invariant, plant)
        return plant

    return register


def sound() -> SyntheticRun:
    """A run with everything that may happen to a request in a sound system."""
    run = SyntheticRun()
    run.purchase()
    lost = run.request()
    order = lost.executed()
    lost.lose().place(order, "reference").complete()
    run.request().lose().ask().settle("give_up")
    again = run.request().lose().ask().settle("not_placed").send_again()
    again.place().complete()
    refused = run.request()
    refused.document["attempts"][0]["outcome"] = "refused"
    refused.send_again().step("order.failed", "failed")
    late = run.request().lose().ask().settle("give_up")
    late.place(late.executed(), "reference").complete()
    run.call({"po_number": "PO-unknown"}, None)
    run.call({"po_number": "PO-refused"}, {"code": "purchase_in_progress"}, 409)
    return run
