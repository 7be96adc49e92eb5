"""Faults: which calls they hit and what they do to them."""

import random
import uuid
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from purser_sandbox.world.records import Fate

Kind = Literal[
    "delay", "hang", "reset", "status", "conflict", "rate_limit", "redirect", "execute_then",
    "bad_json", "no_id", "empty_list", "missing_page", "stale_list", "backwards",
    "list_lag", "stuck", "order_error", "other_quantity", "subscription_pending", "po_cut",
]  # fmt: skip
READ_KINDS = {"empty_list", "missing_page", "stale_list", "backwards"}
ANSWER_KINDS = {"bad_json", "no_id"} | READ_KINDS
"""They let the call be executed and spoil what it answers."""
ORDER_KINDS = {
    "list_lag", "stuck", "order_error", "other_quantity", "subscription_pending", "po_cut",
}  # fmt: skip
"""They decide an order's fate and leave the answer alone; several may hit one call."""


class Fault(BaseModel):
    """One fault. `times` null means until it is removed; `after` lets that many calls pass."""

    model_config = ConfigDict(extra="forbid")

    route: str = Field(pattern=r"^(GET|POST|PATCH|PUT|DELETE|\*) /\S*$")
    """`POST /orders`: method and path below /marketplace/{region}, or from the root for
    /login, /graph and /oidc. `{…}` or `*` stands for one segment."""
    kind: Kind
    customer_id: str | None = None
    login_id: str | None = None
    times: int | None = Field(default=1, ge=1)
    after: int = Field(default=0, ge=0)
    probability: float = Field(default=1.0, gt=0, le=1)

    seconds: float = Field(default=1.0, ge=0, le=86_400)
    """delay: before the call is executed; list_lag: business time until the order is listed;
    stale_list: rows younger than this are missing."""
    status: int = Field(default=500, ge=200, le=599)
    message: str = "Internal error"
    family: Literal["platform", "spring", "gateway", "html"] = "platform"
    retry_after: str | int | None = None
    """rate_limit and status: the Retry-After header, seconds or an HTTP date; null: none."""
    location: str = "/sandbox"
    mid_body: bool = False
    """reset: after half of the answer instead of before it."""
    stuck_in: Literal["submitted", "processing"] = "processing"
    quantity: int = Field(default=1, ge=0)
    length: int = Field(default=0, ge=0)
    """po_cut: how much of the purchase order number is kept; 0: it is dropped."""
    then: "Fault | None" = None
    """execute_then: what the caller gets instead of the answer."""

    @model_validator(mode="before")
    @classmethod
    def _then_needs_no_route(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("then"), dict):
            return value | {"then": {"route": value.get("route"), **value["then"]}}
        return value

    @model_validator(mode="after")
    def _check(self) -> "Fault":
        if (self.kind == "execute_then") != (self.then is not None):
            raise ValueError("execute_then needs `then`, and only it has one")
        if self.kind in ORDER_KINDS and self.route != "POST /orders":
            raise ValueError(f"{self.kind} needs the route POST /orders")
        if self.kind in READ_KINDS and not self.route.startswith("GET "):
            raise ValueError(f"{self.kind} needs the route of a GET")
        if self.then and (
            self.then.kind in ORDER_KINDS | READ_KINDS or self.then.kind == "execute_then"
        ):
            raise ValueError("then.kind must be an answer: reset, status, hang, delay, bad_json …")
        return self


class ActiveFault:
    """A fault with what is left of it."""

    def __init__(self, key: str, fault: Fault) -> None:
        self.key, self.fault = key, fault
        self.seen = self.hits = 0

    @property
    def spent(self) -> bool:
        return self.fault.times is not None and self.hits >= self.fault.times

    def shown(self) -> dict[str, Any]:
        body = self.fault.model_dump(exclude_defaults=True)
        return {"id": self.key, **body, "seen": self.seen, "hits": self.hits, "spent": self.spent}


class Faults:
    """All faults of the process; they are not kept over a restart."""

    def __init__(self) -> None:
        self._active: dict[str, ActiveFault] = {}

    def add(self, fault: Fault) -> ActiveFault:
        active = ActiveFault(uuid.uuid4().hex, fault)  # also unlike those before a restart
        self._active[active.key] = active
        return active

    def shown(self) -> list[dict[str, Any]]:
        return [active.shown() for active in self._active.values()]

    def remove(self, key: str | None) -> bool:
        """One fault, or all for null; False when there is no such fault."""
        if key is None:
            self._active.clear()
            return True
        return self._active.pop(key, None) is not None

    def strike(
        self, method: str, path: str, customer_id: str | None, login_id: str | None
    ) -> tuple[Fault | None, Fate | None]:
        """What hits this call: at most one fault of the answer, and an order's fate."""
        answer: Fault | None = None
        fate: Fate | None = None
        for active in self._active.values():
            fault = active.fault
            if active.spent or not _concerns(fault, method, path, customer_id, login_id):
                continue
            if answer is not None and fault.kind not in ORDER_KINDS:
                continue
            active.seen += 1
            if active.seen <= fault.after or random.random() > fault.probability:  # noqa: S311
                continue
            active.hits += 1
            if fault.kind in ORDER_KINDS:
                fate = decide(fate or Fate(), fault)
            else:
                answer = fault
        return answer, fate


def decide(fate: Fate, fault: Fault) -> Fate:
    changes: dict[str, dict[str, Any]] = {
        "list_lag": {"list_lag_seconds": fault.seconds},
        "stuck": {"outcome": "stuck", "stuck_in": fault.stuck_in},
        "order_error": {"outcome": "error"},
        "other_quantity": {"quantity": Decimal(fault.quantity)},
        "subscription_pending": {"subscription_stays_pending": True},
        "po_cut": {"po_length": fault.length},
    }
    return fate.model_copy(update=changes[fault.kind])


def _concerns(
    fault: Fault, method: str, path: str, customer_id: str | None, login_id: str | None
) -> bool:
    wanted_method, _, template = fault.route.partition(" ")
    return (
        wanted_method in ("*", method)
        and fault.customer_id in (None, customer_id)
        and fault.login_id in (None, login_id)
        and _fits(template, path)
    )


def _fits(template: str, path: str) -> bool:
    wanted, given = template.rstrip("/").split("/"), path.rstrip("/").split("/")
    return len(wanted) == len(given) and all(
        part == "*" or part.startswith("{") or part == segment
        for part, segment in zip(wanted, given, strict=True)
    )
