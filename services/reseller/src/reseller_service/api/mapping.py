"""Licence mappings over HTTP."""

import uuid
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from purser_common.errors import FieldError, Invalid
from purser_common.outbox import Loaded
from purser_common.web import CallerOf, CauseOf, Page, RequestOf, answer, confirmed, if_match
from purser_events.reseller import LicenseMapping
from purser_events.values import Period, ProductIdentity
from reseller_service.api.licenses import ListedMapping, shown_mapping
from reseller_service.api.resellers import Limit, require_role
from reseller_service.commands import mapping as commands
from reseller_service.commands.licenses import listed_products
from reseller_service.commands.mapping import Shelf
from reseller_service.domain.mapping import Remapping, Sku

_Text = Annotated[str, Field(min_length=1, max_length=200)]
Force = Annotated[bool, Query(description="True: also while open requests use it.")]


class Views(Protocol):
    """Reads this service's own database."""

    async def mappings(
        self, reseller_id: str, cursor: str | None, limit: int
    ) -> dict[str, Any]: ...


class PeriodRequest(BaseModel):
    """A length of time as the catalogue gives it."""

    model_config = ConfigDict(extra="forbid")

    type: _Text
    duration: int = Field(ge=0, le=10_000)


class ProductRequest(BaseModel):
    """A product of the catalogue, by all that identifies it."""

    model_config = ConfigDict(extra="forbid")

    mpn: _Text
    vendor: str = Field(max_length=200)
    subscription_period: PeriodRequest
    billing_period: PeriodRequest

    def identity(self) -> ProductIdentity:
        """The product's identity."""
        return ProductIdentity(
            mpn=self.mpn,
            vendor=self.vendor,
            subscription_period=Period(**self.subscription_period.model_dump()),
            billing_period=Period(**self.billing_period.model_dump()),
        )


class MappingRequest(BaseModel):
    """Which licence a product stands for; `sku_id` null: no licence."""

    model_config = ConfigDict(extra="forbid")

    product: ProductRequest
    sku_id: uuid.UUID | None = Field(description="Microsoft's SKU id, or null for no licence.")
    sku_part_number: _Text | None = Field(default=None, examples=["SPB"])
    is_default: bool = Field(default=False, description="Automation buys this one for the SKU.")


class MappingPatch(BaseModel):
    """The fields to change; those left out stay. Of another licence it is no default unless said so."""

    model_config = ConfigDict(extra="forbid")

    sku_id: uuid.UUID | None = Field(
        default=None, description="Another licence of Microsoft's; null: no licence."
    )
    sku_part_number: _Text | None = Field(
        default=None, description="Of a `sku_id` that Microsoft's published list does not have."
    )
    is_default: bool | None = None


def router(shelf: Shelf, views: Views) -> APIRouter:
    """The public routes about licence mappings."""
    routes = APIRouter(prefix="/v1/resellers/{id}/license-mappings", tags=["license mappings"])
    _read_routes(routes, shelf, views)
    _change_routes(routes, shelf)
    return routes


def _change_routes(routes: APIRouter, shelf: Shelf) -> None:
    @routes.post("", status_code=201, operation_id="map_license")
    async def map_license(
        id: str,
        body: MappingRequest,
        caller: CallerOf,
        cause: CauseOf,
        keyed: RequestOf,
        response: Response,
    ) -> LicenseMapping:
        """Map a product to a Microsoft licence, or to none; only mapped products can be bought."""
        sku_id = str(body.sku_id) if body.sku_id else None
        sku = Sku(sku_id, body.sku_part_number, body.is_default)
        product = body.product.identity()
        loaded = await commands.map_license(shelf, id, product, sku, caller, cause, keyed)
        path = f"/v1/resellers/{id}/license-mappings/{loaded.state.id}"
        response.headers["Location"] = path
        return _answered(response, loaded)

    @routes.patch("/{mapping_id}", operation_id="remap_license")
    async def remap(
        id: str,
        mapping_id: str,
        body: MappingPatch,
        caller: CallerOf,
        cause: CauseOf,
        response: Response,
        expected: int = if_match,
    ) -> LicenseMapping:
        """Map the product to another licence, or make it the licence's default or not.

        A default moves in two calls: first the product that is the default gives it up.
        """
        edit = _edit(body)
        loaded = await commands.remap_license(shelf, id, mapping_id, edit, expected, caller, cause)
        return _answered(response, loaded)

    @routes.delete("/{mapping_id}", operation_id="unmap_license", dependencies=[confirmed])
    async def unmap(
        id: str,
        mapping_id: str,
        caller: CallerOf,
        cause: CauseOf,
        response: Response,
        force: Force = False,
        expected: int = if_match,
    ) -> LicenseMapping:
        """Delete a mapping; the product can then no longer be bought.

        409 `mapping_in_use` names the open requests that use it.
        """
        loaded = await commands.unmap_license(
            shelf, id, mapping_id, expected, caller, cause, acknowledged=force
        )
        return _answered(response, loaded)


def _read_routes(routes: APIRouter, shelf: Shelf, views: Views) -> None:
    @routes.get("", operation_id="list_license_mappings")
    async def listed(
        id: str, caller: CallerOf, cursor: str | None = None, limit: Limit = 50
    ) -> Page[ListedMapping]:
        """The reseller's licence mappings."""
        require_role(caller)
        await shelf.resellers.load(id)
        page = Page[LicenseMapping].model_validate(await views.mappings(id, cursor, limit))
        known = await listed_products(shelf, page.items)
        items = [shown_mapping(one, known) for one in page.items]
        return Page[ListedMapping](items=items, next=page.next)

    @routes.get("/{mapping_id}", operation_id="view_license_mapping")
    async def one(id: str, mapping_id: str, caller: CallerOf, response: Response) -> ListedMapping:
        """One licence mapping."""
        require_role(caller)
        loaded = await commands.view_license_mapping(shelf, id, mapping_id)
        _answered(response, loaded)
        return shown_mapping(loaded.state, await listed_products(shelf, [loaded.state]))


def _edit(body: MappingPatch) -> Remapping:
    given = body.model_fields_set
    if not given or (body.is_default is None and "is_default" in given):
        raise Invalid(
            "name at least one field to change, with a value",
            errors=(FieldError("/is_default", "give a value, or another field"),),
        )
    if "sku_part_number" in given and body.sku_id is None:
        raise Invalid(
            "a part number is of a SKU",
            errors=(FieldError("/sku_part_number", "leave this out, or name the sku_id"),),
        )
    id = str(body.sku_id) if body.sku_id else None
    sku = Sku(id, body.sku_part_number, bool(body.is_default)) if "sku_id" in given else None
    return Remapping(sku, body.is_default)


def _answered(response: Response, loaded: Loaded[LicenseMapping]) -> LicenseMapping:
    return answer(response, f"license-mapping/{loaded.state.id}", loaded.sequence, loaded.state)
