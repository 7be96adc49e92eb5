"""What can be asked about subscriptions."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any, Literal

from pydantic import BaseModel, Field

from purser_common.identity import ROLES, Caller, scope_filter
from purser_common.mongo import Database, Document
from purser_common.web import Page, newest
from purser_events.reseller import LicenseMapping
from purser_events.subscription import Subscription, SubscriptionOption
from purser_events.values import Money, ProductIdentity, product_id
from subscription_service.store import Mappings
from subscription_service.store.days import DAYS
from subscription_service.store.mirror import HELD, SUBSCRIPTIONS


class ShownOption(SubscriptionOption):
    """A product of a subscription, and the Microsoft licence that it stands for."""

    mapping: Literal["mapped", "no_license", "unmapped"] = Field(
        description="`unmapped`: nobody has said which licence it is; map it at its reseller."
    )
    sku_id: str | None = None
    sku_part_number: str | None = None


class ShownSubscription(Subscription):
    """A subscription with its options marked."""

    options: tuple[ShownOption, ...] = ()


class UnmappedPage(Page[ShownSubscription]):
    """A page of subscriptions of which an option is unmapped."""

    total: int = Field(description="How many there are on all pages.")


class OptionDay(BaseModel):
    """The seats and prices of one option, as they were read last on one day (UTC)."""

    day: date
    option: str = Field(description="Tells the options of one subscription apart, on every day.")
    product: ProductIdentity
    name: str
    status: str = Field(description="The subscription's.")
    quantity: int
    own_price: Money | None = Field(description="What the customer pays per seat; null: unknown.")
    reseller_price: Money | None = Field(
        description="What the reseller pays per seat; null: unknown, or you are no price admin."
    )
    read_at: datetime


class Views:
    """Read queries over the mirror, its days, and the copy of mappings."""

    def __init__(self, database: Database) -> None:
        self._subscriptions = database[SUBSCRIPTIONS]
        self._held = database[HELD]
        self._days = database[DAYS]
        self._mappings = Mappings(database)

    async def unmapped(
        self, caller: Caller, tenant_id: str | None, after: str | None, limit: int
    ) -> UnmappedPage:
        """Subscriptions within the caller's scope of which an option is unmapped, newest first.

        Mappings change without the mirror, so it is asked for the products that lack one.
        """
        held = [document["_id"] for document in await self._held.find({}).to_list(None)]
        mapped = await self._mappings.mapped(held)
        lacking = [key for key in held if key not in mapped]
        wanted: list[Document | None] = [{"products": {"$in": lacking}, "former": None}]
        wanted += [{"tenant_id": tenant_id}] if tenant_id else []
        wanted += [scope_filter(caller.scopes(*ROLES), customer="customer_id", tenant="tenant_id")]
        page = await newest(self._subscriptions, "created_at", after, limit, *wanted)
        parts = [part for part in wanted if part is not None]
        whole = len(parts) == len(wanted)
        query = {"$and": [part for part in parts if part]}
        total = await self._subscriptions.count_documents(query) if whole else 0
        return UnmappedPage(items=await self.shown(page["items"]), next=page["next"], total=total)

    async def shown(self, states: Iterable[Document]) -> list[ShownSubscription]:
        """States with their options marked."""
        listed = list(states)
        there = await self._mappings.mapped(id for state in listed for id in _products(state))
        return [_marked(state, there) for state in listed]

    async def one(self, id: str) -> Document | None:
        """A subscription's document: state, sequence, and when it was read."""
        return await self._subscriptions.find_one({"_id": id})

    async def history(
        self,
        caller: Caller,
        id: str,
        since: date | None,
        until: date | None,
        after: str | None,
        limit: int,
    ) -> dict[str, Any]:
        """The days of a subscription within the caller's scope, newest first."""
        span = {"$gte": since, "$lte": until}
        days = {how: datetime.combine(day, time(), UTC) for how, day in span.items() if day}
        return await newest(
            self._days,
            "day",
            after,
            limit,
            {"subscription_id": id},
            {"day": days} if days else {},
            scope_filter(caller.scopes(*ROLES), customer="customer_id", tenant="tenant_id"),
            shown=lambda document: _day(document, caller),
        )


def _products(state: Document) -> list[str]:
    return [
        product_id(state["reseller_id"], ProductIdentity.model_validate(option["product"]))
        for option in state["options"]
    ]


def _marked(state: Document, there: Mapping[str, LicenseMapping]) -> ShownSubscription:
    options = [
        {**option, **_mark(there.get(id))}
        for id, option in zip(_products(state), state["options"], strict=True)
    ]
    return ShownSubscription.model_validate({**state, "options": options})


def _mark(mapping: LicenseMapping | None) -> Document:
    if mapping is None:
        return {"mapping": "unmapped"}
    if mapping.sku_id is None:
        return {"mapping": "no_license"}
    named = {"sku_id": mapping.sku_id, "sku_part_number": mapping.sku_part_number}
    return {"mapping": "mapped", **named}


def _day(document: Document, caller: Caller) -> OptionDay:
    whose = {"customer": document["customer_id"], "tenant": document["tenant_id"]}
    cost = document["reseller_price"] if caller.may("price_admin", **whose) else None
    return OptionDay(
        day=document["day"].date(),
        read_at=document["read_at"],
        reseller_price=cost,
        **document["shown"],
    )
