"""The kept catalogue over HTTP: for people, and as the order service shows it in a tenant's store."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from purser_common.errors import FieldError, Invalid
from purser_common.web import CallerOf, Page
from purser_events.price import PriceTier
from purser_events.reseller import LicenseMapping
from purser_events.values import ProductIdentity
from reseller_service.api.resellers import Limit, require_role
from reseller_service.commands import catalogue as commands
from reseller_service.commands.catalogue import Known, Window
from reseller_service.domain import catalogue as rules
from reseller_service.domain import prices
from reseller_service.domain.catalogue import Coterming, Kept, Standing, Sync
from reseller_service.domain.mapping import CatalogProduct
from reseller_service.domain.prices import Plan
from reseller_service.views import Links, ProductFilter, ProductViews

MOST_IDS = 200
Period = Annotated[str | None, Query(pattern=r"^[A-Za-z_]{1,20}:\d{1,5}$", examples=["month:1"])]
Text = Annotated[str | None, Query(max_length=200)]


class Views(Protocol):
    """Reads this service's own database."""

    async def page(
        self, reseller_id: str, wanted: ProductFilter, cursor: str | None, limit: int
    ) -> tuple[list[Kept], str | None]: ...
    async def linked(self, reseller_id: str, products: Sequence[Kept]) -> Links: ...
    async def mappings(self, ids: Sequence[str]) -> dict[str, Any]: ...
    async def plans(self, ids: Sequence[str]) -> dict[str, Plan]: ...


class Required(BaseModel):
    """A product that the marketplace adds to an order when the customer lacks it."""

    id: str | None = Field(description="Null: the catalogue does not list it.")
    mpn: str
    name: str | None


class Dependent(BaseModel):
    """A product that requires this one."""

    id: str
    mpn: str
    name: str


class Product(CatalogProduct):
    """A product of the kept catalogue."""

    id: str = Field(description="The same id as in mappings and price plans.")
    coterming: Coterming | None
    own_price: tuple[PriceTier, ...] | None = Field(description="Of a price plan; null: none.")
    listed: bool = Field(description="False: the marketplace lists it no longer.")
    vanished_at: datetime | None = None
    source: Literal["marketplace"] = "marketplace"
    read_at: datetime
    stale: bool = Field(description="True: the marketplace may say something else by now.")


class ProductDetail(Product):
    """A product with what belongs to it."""

    requires: list[Required]
    dependents: list[Dependent]
    mapping: LicenseMapping | None


class Prices(BaseModel):
    """What a product costs the reseller and its customers."""

    reseller: tuple[PriceTier, ...] | None = Field(description="What the reseller pays.")
    own: tuple[PriceTier, ...] | None = Field(
        description="What its customers pay: the price plan's own price, else the marketplace's."
    )
    difference: tuple[PriceTier, ...] | None
    mark: str | None


class StoreItem(BaseModel):
    """A product as a tenant's store shows it."""

    id: str
    reseller_id: str
    product: ProductIdentity
    name: str
    service_name: str
    minimum_quantity: int
    maximum_quantity: int
    billing_model: str
    coterming: Coterming | None
    requires: list[Required]
    dependents: list[Dependent]
    mapping: LicenseMapping | None
    listed: bool
    source: Literal["marketplace"] = "marketplace"
    read_at: datetime
    stale: bool
    prices: Prices


class CatalogueSync(BaseModel):
    """How well the kept catalogue is known."""

    reseller_id: str
    complete_at: datetime | None = Field(
        description="When the last look began that met every product; null: none did yet."
    )
    running: bool
    last: Sync | None


def router(window: Window, views: ProductViews) -> APIRouter:
    """The public and the internal routes about the catalogue."""
    routes = APIRouter(tags=["catalogue"])
    _public(routes, window, views)
    _internal(routes, window, views)
    return routes


def _public(routes: APIRouter, window: Window, views: Views) -> None:
    @routes.get("/v1/resellers/{id}/products", operation_id="browse_products")
    async def browse(
        id: str,
        caller: CallerOf,
        q: Annotated[Text, Query(description="Words of the name, all of them.")] = None,
        vendor: Text = None,
        mpn: Text = None,
        subscription_period: Period = None,
        billing_period: Period = None,
        mapped: bool | None = None,
        refresh: Annotated[bool, Query(description="Read the marketplace's list first.")] = False,
        cursor: str | None = None,
        limit: Limit = 50,
    ) -> Page[Product]:
        """The reseller's catalogue, by name, as it was last read; costs are for price admins."""
        require_role(caller)
        standing = await commands.ready(window, id, refresh=refresh)
        if _wordless(q):
            return Page[Product](items=[])
        wanted = ProductFilter(
            rules.words_of(q or ""),
            vendor,
            mpn,
            _folded(subscription_period),
            _folded(billing_period),
            mapped,
        )
        found, following = await views.page(id, wanted, cursor, limit)
        plans = await views.plans([kept.id for kept in found])
        costs = caller.may("price_admin")
        items = [
            Product(**_product(known, plans.get(known.kept.id), costs))
            for known in _known(window, found, standing)
        ]
        return Page[Product](items=items, next=following)

    @routes.get("/v1/resellers/{id}/products/{product_id}", operation_id="view_product")
    async def detail(id: str, product_id: str, caller: CallerOf) -> ProductDetail:
        """One product with what it requires and what depends on it; read again when it is old."""
        require_role(caller)
        known = await commands.view_product(window, id, product_id)
        links = await views.linked(id, [known.kept])
        mappings = await views.mappings([product_id])
        plans = await views.plans([product_id])
        return ProductDetail(
            **_product(known, plans.get(product_id), caller.may("price_admin")),
            requires=_requires(known.kept, links),
            dependents=_dependents(known.kept, links),
            mapping=mappings.get(product_id),
        )

    @routes.get("/v1/resellers/{id}/catalogue-sync", operation_id="view_catalogue_sync")
    async def sync(id: str, caller: CallerOf) -> CatalogueSync:
        """How the last look at the marketplace's catalogue went."""
        require_role(caller)
        await window.resellers.load(id)
        standing, running = await window.syncs.standing(id)
        return CatalogueSync(
            reseller_id=id,
            complete_at=standing.complete_at,
            running=running,
            last=standing.last,
        )


def _internal(routes: APIRouter, window: Window, views: Views) -> None:
    path = "/internal/resellers/{id}/store-items"

    @routes.get(path, include_in_schema=False)
    async def items(
        id: str,
        caller: CallerOf,
        q: Text = None,
        vendor: Text = None,
        mpn: Text = None,
        mapped: bool | None = None,
        ids: str | None = None,
        costs: bool = False,
        cursor: str | None = None,
        limit: Limit = 50,
    ) -> Page[StoreItem]:
        caller.require_service("order")
        standing = await commands.ready(window, id)
        if _wordless(q):
            return Page[StoreItem](items=[])
        named = None if ids is None else _ids(ids)
        wanted = ProductFilter(rules.words_of(q or ""), vendor, mpn, mapped=mapped, ids=named)
        found, following = await views.page(id, wanted, cursor, limit)
        known = _known(window, found, standing)
        return Page[StoreItem](items=await _items(views, id, known, costs), next=following)

    @routes.get(path + "/{item_id}", include_in_schema=False)
    async def item(id: str, item_id: str, caller: CallerOf, costs: bool = False) -> StoreItem:
        caller.require_service("order")
        known = await commands.view_product(window, id, item_id)
        return (await _items(views, id, [known], costs))[0]


async def _items(
    views: Views, reseller_id: str, found: Sequence[Known], costs: bool
) -> list[StoreItem]:
    products = [known.kept for known in found]
    ids = [kept.id for kept in products]
    links = await views.linked(reseller_id, products)
    mappings, plans = await views.mappings(ids), await views.plans(ids)
    return [_item(one, links, mappings, plans.get(one.kept.id), costs) for one in found]


def _item(
    known: Known, links: Links, mappings: dict[str, Any], plan: Plan | None, costs: bool
) -> StoreItem:
    kept, listing = known.kept, known.kept.listing
    return StoreItem(
        id=kept.id,
        reseller_id=kept.reseller_id,
        product=listing.product,
        name=listing.name,
        service_name=listing.service_name,
        minimum_quantity=listing.minimum_quantity,
        maximum_quantity=listing.maximum_quantity,
        billing_model=listing.billing_model,
        coterming=listing.coterming,
        requires=_requires(kept, links),
        dependents=_dependents(kept, links),
        mapping=mappings.get(kept.id),
        listed=kept.listed,
        read_at=known.read_at,
        stale=known.stale,
        prices=_prices(kept, plan, costs),
    )


def _prices(kept: Kept, plan: Plan | None, costs: bool) -> Prices:
    own = prices.effective(plan, kept.listing)
    paid = prices.tiers_of(kept.listing.costs) if costs else None
    return Prices(
        reseller=paid,
        own=own,
        difference=prices.difference(own, paid),
        mark=plan.state.mark if plan else None,
    )


def _product(known: Known, plan: Plan | None, costs: bool) -> dict[str, Any]:
    kept, listing = known.kept, known.kept.listing
    shown = {name: getattr(listing, name) for name in CatalogProduct.model_fields}
    return {
        **shown,
        "costs": listing.costs if costs else None,
        "id": kept.id,
        "coterming": listing.coterming,
        "own_price": plan.state.own_price if plan else None,
        "listed": kept.listed,
        "vanished_at": kept.vanished_at,
        "read_at": known.read_at,
        "stale": known.stale,
    }


def _known(window: Window, found: Sequence[Kept], standing: Standing) -> list[Known]:
    return [commands.known(window, kept, standing) for kept in found]


def _requires(kept: Kept, links: Links) -> list[Required]:
    shown = []
    for need in kept.listing.needs:
        found = rules.best_for(need, kept.listing, links.needed)
        mpn = found.listing.product.mpn if found else need.mpn or ""
        shown.append(
            Required(
                id=found.id if found else None, mpn=mpn, name=found.listing.name if found else None
            )
        )
    return shown


def _dependents(kept: Kept, links: Links) -> list[Dependent]:
    return [
        Dependent(id=other.id, mpn=other.listing.product.mpn, name=other.listing.name)
        for other in rules.needing(kept, links.needing)
    ]


def _wordless(q: str | None) -> bool:
    """A search that has text but no word finds nothing, rather than everything."""
    return bool(q and q.strip()) and not rules.words_of(q or "")


def _folded(period: str | None) -> str | None:
    if period is None:
        return None
    kind, _, duration = period.partition(":")
    return f"{kind.casefold()}:{int(duration)}"


def _ids(ids: str) -> tuple[str, ...]:
    named = tuple(dict.fromkeys(id.strip() for id in ids.split(",") if id.strip()))
    if len(named) > MOST_IDS:
        raise Invalid(
            "too many ids",
            errors=(FieldError("#/query/ids", f"name at most {MOST_IDS}"),),
        )
    return named
