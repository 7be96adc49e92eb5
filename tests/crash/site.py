"""A running system and who uses it: patiently, each with what is its own."""

import contextlib
import itertools
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from integration.conftest import MARKETPLACE, Shop, System
from pymongo import MongoClient
from stack import Stack

from crash.armory import Armory
from crash.watch import Watch

PATIENCE = 150.0
OPEN = ("placing", "uncertain", "placed")
UNANSWERED = ("request_in_flight",)
Json = dict[str, Any]
Arm = Callable[[], object]


class Patient(System):
    """A caller that repeats what got no answer, under the same key, as it is meant to."""

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """The first answer that says something."""
        if method == "POST":
            given = more.get("headers") or {}
            more["headers"] = {"Idempotency-Key": str(uuid.uuid4()), **given}
        deadline = time.monotonic() + PATIENCE
        while True:
            trouble = ""
            try:
                answer = super().ask(method, path, body, **more)
                if answer.status_code < 500 and code_of(answer) not in UNANSWERED:
                    return answer
                trouble = answer.text
            except httpx.TransportError as error:
                trouble = type(error).__name__
            if time.monotonic() > deadline:
                raise AssertionError(f"{method} {path} is never answered: {trouble}")
            time.sleep(0.25)


def code_of(answer: httpx.Response) -> str | None:
    return answer.json().get("code") if answer.status_code == 409 else None


class Branch(Shop):
    """A customer of a large account: its tenant is not connected yet."""

    number = 0

    @property
    def customer(self) -> Json:
        """The marketplace's customer."""
        found: Json = self.account["resellers"][0]["customers"][self.number]
        return found


class Site:
    """One running system, with shops that flows borrow."""

    def __init__(self, stack: Stack, armory: Armory, shops: int, branches: int) -> None:
        self.stack, self.armory = stack, armory
        self.system = Patient(stack)
        self.watch = Watch(self.system.kafka)
        self.databases: MongoClient[Json] = MongoClient(stack.mongo_url, tz_aware=True)
        self.poison: list[bytes] = []
        self.bought: list[tuple[Shop, str]] = []
        """Every request with its shop."""
        self._shops: queue.Queue[Shop] = queue.Queue()
        self._branches = itertools.count()
        self._lock = threading.Lock()
        with ThreadPoolExecutor(4) as pool:
            for shop in pool.map(lambda _: self.system.shop(), range(shops)):
                self._shops.put(shop)
        self._head = self._headquarters(branches) if branches else None

    def close(self) -> None:
        """Close all connections."""
        self.watch.close()
        self.databases.close()
        self.system.close()

    @contextlib.contextmanager
    def shop(self) -> Iterator[Shop]:
        """A shop that nobody buys for at the moment."""
        shop = self._shops.get(timeout=PATIENCE)
        yield shop
        self._shops.put(shop)  # not after an error: its product may be held by an open request

    def branch(self) -> Branch:
        """A customer whose tenant has consented and is added, not connected."""
        assert self._head is not None
        branch = Branch(self.system, self._head.account, self._head.reseller)
        branch.number = next(self._branches)
        branch.register_tenant()
        branch.consent()
        self.system.call("PUT", f"/v1/marketplaces/{MARKETPLACE}/tenants/{branch.tenant['id']}")
        return branch

    def _headquarters(self, customers: int) -> Shop:
        asked = {"customers": customers, "resellers": 1}
        answer = self.system.sandbox.post("/sandbox/accounts", json=asked).raise_for_status()
        head = Shop(self.system, answer.json())
        head.add_reseller()
        return head

    def buy(self, shop: Shop) -> Json:
        """A purchase that was accepted."""
        request = shop.buy()
        with self._lock:
            self.bought.append((shop, request["id"]))
        return request

    def followed(self, shop: Shop, request: Json) -> str:
        """How a request ends; whatever the end, the shop's product is free afterwards."""
        subject = f"license-change-request/{request['id']}"
        ends = ("completed", "needs_review", "failed", "cancelled", "duplicate_suspected")
        end = str(self.watch.state(subject, *ends, within=PATIENCE)["status"])
        if end == "needs_review":
            assert shop.orders(request) == [], "an order was executed, a person is asked"
            self.settle(request, "give_up")
            self.watch.state(subject, "cancelled", within=PATIENCE)
        return end

    def settle(self, request: Json, answer: str) -> httpx.Response:
        """A person's answer to a review item."""
        body = {"answer": answer, "reason": "looked at the marketplace's panel"}
        return self.system.ask("POST", f"/v1/review-items/{request['id']}/settlements", body)
