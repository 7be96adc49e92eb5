"""Mapping products to licences, and what the catalogue says of them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from purser_common.errors import (
    FieldError,
    Invalid,
    NotFound,
    Unavailable,
    VersionConflict,
)
from purser_common.identity import Caller
from purser_common.outbox import Loaded, Request
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.reseller import LicenseMapping, Reseller
from purser_events.values import Money, ProductIdentity, product_id
from reseller_service.commands.catalogue import FRESH_WITHIN
from reseller_service.commands.resellers import ATTEMPTS
from reseller_service.domain import mapping as rules
from reseller_service.domain.catalogue import Kept, Listing
from reseller_service.domain.licenses import Licenses
from reseller_service.domain.mapping import MAPPED, CatalogProduct, Remapping, Sku
from reseller_service.domain.prices import Plan, effective, unit_price


class Mappings(Protocol):
    """Where licence mappings are kept."""

    async def find(self, id: str) -> Loaded[LicenseMapping] | None: ...
    async def replayed(self, id: str, request: Request) -> Loaded[LicenseMapping] | None: ...
    async def insert(
        self, state: LicenseMapping, facts: Sequence[Fact], cause: Cause, request: Request
    ) -> Loaded[LicenseMapping] | None: ...
    async def save(
        self,
        loaded: Loaded[LicenseMapping],
        state: LicenseMapping,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[LicenseMapping]: ...
    async def skus(self, reseller_id: str) -> dict[str, str | None]: ...
    async def of_skus(self, reseller_id: str, sku_ids: Sequence[str]) -> list[LicenseMapping]: ...
    async def anywhere(self, sku_id: str, limit: int) -> list[LicenseMapping]: ...
    async def mapped(self, ids: Sequence[str]) -> frozenset[str]: ...


class Resellers(Protocol):
    """Reads resellers."""

    async def load(self, id: str) -> Loaded[Reseller]: ...


class Catalogue(Protocol):
    """The marketplace's live catalogue."""

    async def product(self, reseller_id: str, product: ProductIdentity) -> Listing | None: ...


class Known(Protocol):
    """The catalogue as it is kept."""

    async def find(self, id: str) -> Kept | None: ...
    async def find_all(self, ids: Sequence[str]) -> dict[str, Kept]: ...
    async def of_mpns(self, reseller_id: str, mpns: Sequence[str]) -> list[Kept]: ...
    async def keep_read(self, reseller_id: str, listing: Listing, at: datetime) -> None: ...


class Prices(Protocol):
    """The reseller's own prices."""

    async def find(self, id: str) -> Loaded[Plan] | None: ...


class Requests(Protocol):
    """The licence change requests that have not ended."""

    async def open_requests(
        self, reseller_id: str, caller: Caller | None, cause: Cause
    ) -> Sequence[Mapping[str, Any]]: ...


@dataclass(frozen=True)
class Shelf:
    """What mapping needs."""

    mappings: Mappings
    resellers: Resellers
    catalogue: Catalogue
    known: Known
    prices: Prices
    requests: Requests
    licenses: Licenses
    now: Callable[[], datetime]


@dataclass(frozen=True)
class Terms:
    """What buying a product means at a reseller; None for what there is not."""

    reseller: Reseller
    mapping: LicenseMapping | None
    product: CatalogProduct | None
    unit_price: Money | None


async def map_license(
    shelf: Shelf,
    reseller_id: str,
    product: ProductIdentity,
    sku: Sku,
    caller: Caller,
    cause: Cause,
    request: Request,
) -> Loaded[LicenseMapping]:
    """Map a product of the catalogue to a Microsoft SKU or to no licence (R23, R26).

    Raises Forbidden; NotFound for the reseller; Invalid for a product that it does not sell, or for
    another SKU's part number; Conflict when the product is mapped, or another one is the SKU's default.
    """
    caller.require("price_admin")
    rules.require_meaningful(sku)
    sku = shelf.licenses.completed(sku)
    id = product_id(reseller_id, product)
    earlier = await shelf.mappings.replayed(id, request)
    if earlier is not None:
        return earlier
    await shelf.resellers.load(reseller_id)
    sold = await shelf.catalogue.product(reseller_id, product)
    if sold is None:
        raise Invalid(
            "the reseller does not sell this product",
            code="unknown_product",
            errors=(FieldError("/product", f"choose from /v1/resellers/{reseller_id}/products"),),
        )
    await shelf.known.keep_read(reseller_id, sold, shelf.now())
    for _ in range(ATTEMPTS):
        mapped = await _mapped(shelf, reseller_id, sold, sku, cause, request)
        if mapped is not None:
            return mapped
    raise VersionConflict(id)


async def _mapped(
    shelf: Shelf,
    reseller_id: str,
    sold: CatalogProduct,
    sku: Sku,
    cause: Cause,
    request: Request,
) -> Loaded[LicenseMapping] | None:
    """One try; None when somebody else wrote meanwhile."""
    id = product_id(reseller_id, sold.product)
    earlier = await shelf.mappings.replayed(id, request)
    if earlier is not None:
        return earlier
    before = await shelf.mappings.find(id)
    state, facts = rules.license_mapped(before.state if before else None, reseller_id, sold, sku)
    if before is None:
        return await shelf.mappings.insert(state, facts, cause, request)
    try:
        return await shelf.mappings.save(before, state, facts, cause, request)
    except VersionConflict:
        return None


async def view_license_mapping(shelf: Shelf, reseller_id: str, id: str) -> Loaded[LicenseMapping]:
    """A mapping of a reseller. Raises NotFound, also for one that was deleted."""
    found = await shelf.mappings.find(id)
    if found is None or found.state.reseller_id != reseller_id or found.state.status != MAPPED:
        raise NotFound("there is no such licence mapping")
    return found


async def remap_license(
    shelf: Shelf,
    reseller_id: str,
    id: str,
    edit: Remapping,
    expected: int,
    caller: Caller,
    cause: Cause,
) -> Loaded[LicenseMapping]:
    """Map a mapped product to another licence, or make it the licence's default or not (R25).

    A default moves in two steps: the one that is the default gives it up first. Raises Forbidden;
    NotFound; Stale when it has changed since `expected`; Invalid for another SKU's part number; Conflict
    naming the product that is the SKU's default.
    """
    caller.require("price_admin")
    for _ in range(ATTEMPTS):
        loaded = await view_license_mapping(shelf, reseller_id, id)
        loaded.must_be_at(expected, "the mapping")
        sku = rules.wanted_sku(loaded.state, edit)
        rules.require_meaningful(sku)
        state, facts = rules.license_remapped(loaded.state, shelf.licenses.completed(sku))
        if not facts:
            return loaded
        try:
            return await shelf.mappings.save(loaded, state, facts, cause)
        except VersionConflict:
            continue
    raise VersionConflict(id)


async def unmap_license(
    shelf: Shelf,
    reseller_id: str,
    id: str,
    expected: int,
    caller: Caller,
    cause: Cause,
    *,
    acknowledged: bool = False,
) -> Loaded[LicenseMapping]:
    """Delete a mapping (R27); the product can then no longer be bought.

    Unless that is `acknowledged`, the order service is asked who needs it: a warning, no lock, since a
    request that crosses the deletion is refused before it is sent. Raises Forbidden, NotFound, Stale when
    it has changed since `expected`, Conflict naming the open requests that use it, Unavailable.
    """
    caller.require("price_admin")
    for _ in range(ATTEMPTS):
        loaded = await view_license_mapping(shelf, reseller_id, id)
        loaded.must_be_at(expected, "the mapping")
        if not acknowledged:
            requests = await shelf.requests.open_requests(reseller_id, caller, cause)
            rules.require_unused(loaded.state, requests)
        state, facts = rules.license_unmapped(loaded.state)
        try:
            return await shelf.mappings.save(loaded, state, facts, cause)
        except VersionConflict:
            continue
    raise VersionConflict(id)


async def purchase_terms(
    shelf: Shelf, reseller_id: str, product: ProductIdentity, current: bool = True
) -> Terms:
    """What buying a product means here (R24): its mapping, its limits, its price.

    `current` insists on the live catalogue; else a mapped product's row as it was last read will do
    while the marketplace is away or slow. Raises NotFound for the reseller, Unavailable.
    """
    reseller = await shelf.resellers.load(reseller_id)
    mapping = await shelf.mappings.find(product_id(reseller_id, product))
    mapped = mapping.state if mapping and mapping.state.status == MAPPED else None
    if current or mapped is None:
        sold = await shelf.catalogue.product(reseller_id, product)
    else:
        sold = await _known(shelf, mapped)
    price = await _unit_price(shelf, product_id(reseller_id, product), sold)
    return Terms(reseller.state, mapped, sold, price)


async def _unit_price(shelf: Shelf, id: str, sold: Listing | None) -> Money | None:
    """The reseller's own price where a plan has one, else what the marketplace asks."""
    if sold is None:
        return None
    plan = await shelf.prices.find(id)
    return unit_price(effective(plan.state if plan else None, sold))


async def _known(shelf: Shelf, mapping: LicenseMapping) -> Listing | None:
    before = await shelf.known.find(mapping.id)
    try:
        async with asyncio.timeout(FRESH_WITHIN if before else None):
            sold = await shelf.catalogue.product(mapping.reseller_id, mapping.product)
    except (Unavailable, TimeoutError):
        if before is None:
            raise
        return before.listing if before.listed else None
    if sold is not None and (before is None or sold != before.listing):
        await shelf.known.keep_read(mapping.reseller_id, sold, shelf.now())
    return sold
