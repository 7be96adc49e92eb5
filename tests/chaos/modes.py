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


def _executed(name: str, then: Fault) -> tuple[str, Draw]:
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


def _fixed(**fault: Any) -> Draw:
    return lambda _, __: dict(fault)


MODES: Sequence[tuple[str, Draw]] = (
    ("executed, then answered late", _slow_answer),
    _executed("hang", {"kind": "hang"}),
    _executed("reset", {"kind": "reset"}),
    _executed("reset in the answer", {"kind": "reset", "mid_body": True}),
    _executed("500", {"kind": "status", "status": 500}),
    _executed("504 html", HTML_504),
    _executed("bad json", {"kind": "bad_json"}),
    _executed("no id", {"kind": "no_id"}),
    _executed("conflict naming it", {"kind": "conflict"}),
    ("not executed, conflict naming another", _fixed(route=ORDERS, kind="conflict")),
    ("not executed, 500", _fixed(route=ORDERS, kind="status", status=500)),
    ("not executed, 504 html", _fixed(route=ORDERS, **HTML_504)),
    ("not executed, timeout", _fixed(route=ORDERS, kind="hang")),
    ("executed late", _late),
    ("executed late", _late),
    ("refused with 400", _fixed(route=ORDERS, kind="status", status=400, message="Not orderable.")),
    ("429", _fixed(route=ORDERS, kind="rate_limit")),
    ("429 with Retry-After", _fixed(route=ORDERS, kind="rate_limit", retry_after=1)),
    ("429 while listing", _fixed(route="GET /orders", kind="rate_limit", retry_after=1)),
    ("redirect", _fixed(route=ORDERS, kind="redirect")),
    ("list lag", _list_lag),
    ("list lag", _list_lag),
    ("list empty", _fixed(route="GET /orders", kind="empty_list")),
    ("list without a page", _fixed(route="GET /orders", kind="missing_page")),
    ("list stale", _stale),
    ("list stale", _stale),
    ("order goes backwards", _fixed(route="GET /orders/{id}", kind="backwards")),
    ("purchase order number cut", _cut_po),
    ("order ends in error", _fixed(route=ORDERS, kind="order_error")),
    ("listing fails", _fixed(route="GET /orders", kind="status", status=500)),
    ("detail fails", _fixed(route="GET /orders/{id}", kind="status", status=502, family="html")),
    ("subscription fails", _fixed(route="GET /subscriptions/{id}", kind="status", status=500)),
    ("no token", _fixed(route="POST /token", kind="status", status=503)),
)
