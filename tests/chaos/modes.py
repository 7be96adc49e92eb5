"""What the marketplace does wrong in a run: faults of the sandbox, each drawn by the seed."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from chaos.profiles import LATEST, LONGEST_LAG, QUARANTINE

Fault = dict[str, Any]
Draw = Callable[[random.Random, bool], Fault]
"""Draws a fault; the flag says whether the account is looked after cautiously."""

ORDERS = "POST /orders"
HTML_504: Fault = {"kind": "status", "status": 504, "family": "html"}


def executed(name: str, then: Fault) -> tuple[str, Draw]:
    """The order is executed, the answer is something else."""
    return f"executed, then {name}", lambda _, __: {
        "route": ORDERS,
        "kind": "execute_then",
        "then": then,
    }


def _slow_answer(chance: random.Random, _: bool) -> Fault:
    then = {"kind": "delay", "seconds": round(chance.uniform(1, 7), 2)}
    return {"route": ORDERS, "kind": "execute_then", "then": then}


def _late(chance: random.Random, cautious: bool) -> Fault:
    """Later than the quarantine only where nobody ever lets an order be sent again."""
    latest = 2 * QUARANTINE if cautious else LATEST
    return {"route": ORDERS, "kind": "delay", "seconds": round(chance.uniform(0.2, latest), 2)}


def _list_lag(chance: random.Random, _: bool) -> Fault:
    seconds = round(chance.uniform(0.5, LONGEST_LAG), 2)
    return {"route": ORDERS, "kind": "list_lag", "seconds": seconds}


def _stale(chance: random.Random, _: bool) -> Fault:
    seconds = round(chance.uniform(0.5, LONGEST_LAG), 2)
    return {"route": "GET /orders", "kind": "stale_list", "seconds": seconds}


def _cut_po(chance: random.Random, _: bool) -> Fault:
    return {"route": ORDERS, "kind": "po_cut", "length": chance.choice((0, 8, 12))}


def fixed(**fault: Any) -> Draw:
    """The same fault each time."""
    return lambda _, __: dict(fault)


MODES: Sequence[tuple[str, Draw]] = (
    ("executed, then answered late", _slow_answer),
    executed("hang", {"kind": "hang"}),
    executed("reset", {"kind": "reset"}),
    executed("reset in the answer", {"kind": "reset", "mid_body": True}),
    executed("500", {"kind": "status", "status": 500}),
    executed("504 html", HTML_504),
    executed("bad json", {"kind": "bad_json"}),
    executed("no id", {"kind": "no_id"}),
    executed("conflict naming it", {"kind": "conflict"}),
    ("not executed, conflict naming another", fixed(route=ORDERS, kind="conflict")),
    ("not executed, 500", fixed(route=ORDERS, kind="status", status=500)),
    ("not executed, 504 html", fixed(route=ORDERS, **HTML_504)),
    ("not executed, timeout", fixed(route=ORDERS, kind="hang")),
    ("executed late", _late),
    ("executed late", _late),
    ("refused with 400", fixed(route=ORDERS, kind="status", status=400, message="Not orderable.")),
    ("429", fixed(route=ORDERS, kind="rate_limit")),
    ("429 with Retry-After", fixed(route=ORDERS, kind="rate_limit", retry_after=1)),
    ("429 while listing", fixed(route="GET /orders", kind="rate_limit", retry_after=1)),
    ("redirect", fixed(route=ORDERS, kind="redirect")),
    ("list lag", _list_lag),
    ("list lag", _list_lag),
    ("list empty", fixed(route="GET /orders", kind="empty_list")),
    ("list without a page", fixed(route="GET /orders", kind="missing_page")),
    ("list stale", _stale),
    ("list stale", _stale),
    ("order goes backwards", fixed(route="GET /orders/{id}", kind="backwards")),
    ("purchase order number cut", _cut_po),
    ("order ends in error", fixed(route=ORDERS, kind="order_error")),
    ("listing fails", fixed(route="GET /orders", kind="status", status=500)),
    ("detail fails", fixed(route="GET /orders/{id}", kind="status", status=502, family="html")),
    ("subscription fails", fixed(route="GET /subscriptions/{id}", kind="status", status=500)),
    ("no token", fixed(route="POST /token", kind="status", status=503)),
)
