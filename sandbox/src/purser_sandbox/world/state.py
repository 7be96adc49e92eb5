"""All records in memory, saved one by one, and the changes that time brings."""

import secrets
from collections import defaultdict
from collections.abc import Iterable

from pydantic import BaseModel

from purser_sandbox.clock import BusinessClock
from purser_sandbox.settings import Settings
from purser_sandbox.store import Store
from purser_sandbox.world.catalogue import Catalogue
from purser_sandbox.world.lifecycle import Lifecycle
from purser_sandbox.world.records import (
    Customer,
    EntraTenant,
    Login,
    Order,
    Reseller,
    Subscription,
    Timing,
)

KINDS: dict[str, type[BaseModel]] = {
    "reseller": Reseller,
    "login": Login,
    "customer": Customer,
    "tenant": EntraTenant,
    "subscription": Subscription,
    "order": Order,
}
FIRST_ID = 1_000_001


class World:
    """The one place where records are found and changed. Not safe for threads."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.catalogue = Catalogue(settings.products)
        self.clock = BusinessClock()
        self.signing_key = ""
        self.clear()

    def clear(self) -> None:
        """Forgets every record; the clock keeps its offset, since it never goes back."""
        self.resellers: dict[str, Reseller] = {}
        self.logins: dict[str, Login] = {}
        self.customers: dict[str, Customer] = {}
        self.tenants: dict[str, EntraTenant] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.orders: dict[str, Order] = {}
        self.orders_of: dict[str, list[str]] = defaultdict(list)
        self.subscriptions_of: dict[str, list[str]] = defaultdict(list)
        self.lifecycle = Lifecycle(self)
        self._last_id = FIRST_ID - 1

    @property
    def empty(self) -> bool:
        return not self.logins

    def load(self) -> None:
        """Rebuilds the state of an earlier process from its files."""
        for kind, key, body in self.store.records():
            if kind == "clock":
                self.clock.offset_seconds = body
            elif kind == "signing-key":
                self.signing_key = body
            else:
                self._keep(kind, key, KINDS[kind].model_validate(body))
        if not self.signing_key:
            self.signing_key = secrets.token_hex(32)
            self.store.save("signing-key", "1", self.signing_key)
        for entry in self.store.journal():
            if entry["id"] not in self.orders:
                self.lifecycle.adopt(Order.model_validate(entry["record"]))

    def start_over(self) -> None:
        self.store.start_over()
        self.clear()
        self.store.save("signing-key", "1", self.signing_key)
        self.store.save("clock", "1", self.clock.offset_seconds)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.store.save("clock", "1", self.clock.offset_seconds)
        self.settle()

    def settle(self) -> None:
        """Applies what has become due by now: order progress, renewals, term ends."""
        self.lifecycle.settle(self.clock.now())

    def save(self, record: BaseModel) -> None:
        kind = next(name for name, model in KINDS.items() if isinstance(record, model))
        key: str = record.id  # type: ignore[attr-defined]
        self._keep(kind, key, record)
        self.store.save(kind, key, record.model_dump(mode="json", exclude_defaults=True))

    def next_id(self) -> str:
        self._last_id += 1
        return str(self._last_id)

    def timing(self, reseller: Reseller) -> Timing:
        return reseller.timing or Timing(
            submitted_seconds=self.settings.submitted_seconds,
            processing_seconds=self.settings.processing_seconds,
        )

    def resellers_of(self, login: Login) -> list[Reseller]:
        """The resellers whose customers a login may see."""
        if login.kind == "leaf":
            return [self.resellers[login.account_id]]
        return [row for row in self.resellers.values() if row.parent_id == login.account_id]

    def sees(self, login: Login, reseller_id: str) -> bool:
        if login.kind == "leaf":
            return reseller_id == login.account_id
        return self.resellers[reseller_id].parent_id == login.account_id

    def tenants_of(self, customer_id: str) -> list[EntraTenant]:
        return [row for row in self.tenants.values() if row.customer_id == customer_id]

    def customer_subscriptions(self, customer_id: str) -> list[Subscription]:
        return [self.subscriptions[key] for key in self.subscriptions_of[customer_id]]

    def customer_orders(self, customer_id: str) -> list[Order]:
        return [self.orders[key] for key in self.orders_of[customer_id]]

    def _keep(self, kind: str, key: str, record: BaseModel) -> None:
        if isinstance(record, Order):
            self._note_ids([key, *(line.subscription_id or "" for line in record.lines)])
            if key not in self.orders:
                self.orders_of[record.customer_id].append(key)
            self.orders[key] = record
            self.lifecycle.watch_order(record)
        elif isinstance(record, Subscription):
            self._note_ids([key])
            if key not in self.subscriptions:
                self.subscriptions_of[record.customer_id].append(key)
            self.subscriptions[key] = record
            self.lifecycle.watch_subscription(record)
        else:
            self._note_ids([key])
            table: dict[str, BaseModel] = getattr(self, f"{kind}s")
            table[key] = record

    def _note_ids(self, keys: Iterable[str]) -> None:
        for key in keys:
            if key.isdigit():
                self._last_id = max(self._last_id, int(key))
