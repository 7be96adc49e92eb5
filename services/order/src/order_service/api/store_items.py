"""A tenant's store over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from order_service.api.requests import Body, Limit, PurchasePreview, shown_preview
from order_service.commands.browsing import Shop, Shown, list_items, preview_item, view_item
from order_service.domain.items import OwnLink, OwnSubscription, Possible, Search, StoreItem
from purser_common.web import CallerOf, CauseOf, Page, RequestOf

READ_AT, STALE, SUBJECT = "Purser-Read-At", "Purser-Stale", "Purser-Subject"
_Text = Annotated[str | None, Query(max_length=200)]


class OwnStoreItem(StoreItem):
    """A product of the tenant's reseller, with what the tenant has of it and what may be done."""

    requires: tuple[OwnLink, ...] = Field(
        description="Products that the marketplace adds to an order when the tenant lacks them."
    )
    dependents: tuple[OwnLink, ...] = Field(description="Products that require this one.")
    subscriptions: tuple[OwnSubscription, ...] = Field(description="The tenant's own of it.")
    actions: tuple[Possible, ...]


class ItemPreviewRequest(Body):
    """How many might be bought."""

    quantity: int = Field(strict=True, ge=1, le=1_000_000)


def add(routes: APIRouter, shop: Shop) -> None:
    """Add the routes of the tenants' stores."""

    @routes.get("/v1/tenants/{id}/store-items", operation_id="list_store_items")
    async def listed(
        id: str,
        caller: CallerOf,
        cause: CauseOf,
        q: _Text = None,
        vendor: _Text = None,
        mpn: _Text = None,
        mapped: bool | None = None,
        cursor: str | None = None,
        limit: Limit = 50,
    ) -> Page[OwnStoreItem]:
        """What the tenant's reseller sells, by name; `q` is words of the name."""
        wanted = Search(q, vendor, mpn, mapped, cursor, limit)
        found, following = await list_items(shop, id, wanted, caller, cause)
        return Page[OwnStoreItem](items=[_item(one) for one in found], next=following)

    @routes.get("/v1/tenants/{id}/store-items/{item_id}", operation_id="get_store_item")
    async def one(
        id: str, item_id: str, caller: CallerOf, cause: CauseOf, response: Response
    ) -> OwnStoreItem:
        """One product: what it requires, what requires it, what it costs, what may be done."""
        shown = await view_item(shop, id, item_id, caller, cause)
        response.headers[READ_AT] = shown.item.read_at.isoformat()
        if shown.item.stale:
            response.headers[STALE] = "true"
        return _item(shown)

    @routes.post(
        "/v1/tenants/{id}/store-items/{item_id}/previews", operation_id="preview_store_item"
    )
    async def preview(
        id: str,
        item_id: str,
        body: ItemPreviewRequest,
        caller: CallerOf,
        cause: CauseOf,
        _: RequestOf,
        response: Response,
    ) -> PurchasePreview:
        """What buying so many would cost, by the marketplace's own estimate; nothing is ordered."""
        item, terms, quote = await preview_item(shop, id, item_id, body.quantity, caller, cause)
        response.headers[SUBJECT] = f"store-item/{item.id}"
        return shown_preview(item.product, body.quantity, terms, quote)


def _item(shown: Shown) -> OwnStoreItem:
    own = {
        "requires": shown.requires,
        "dependents": shown.dependents,
        "subscriptions": shown.subscriptions,
        "actions": shown.actions,
    }
    return OwnStoreItem(**shown.item.model_dump() | own)
