"""Licence mappings over HTTP."""

import uuid
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from purser_common.outbox import Loaded
from purser_common.web import CallerOf, CauseOf, Page, RequestOf, answer, if_match
from purser_events.reseller import LicenseMapping
from purser_events.values import Period, ProductIdentity
from reseller_service.api.resellers import Confirm, Limit, require_confirmed, require_role
from reseller_service.commands import mapping as commands
from reseller_service.commands.mapping import Shelf
from reseller_service.domain.mapping import Sku

_Text = Annotated[str, Field(min_length=1, max_length=200)]


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


def router(shelf: Shelf, views: Views) -> APIRouter:
    """The public routes about licence mappings."""
    routes = APIRouter(prefix="/v1/resellers/{id}/license-mappings", tags=["license mappings"])

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

    @routes.get("", operation_id="list_license_mappings")
    async def listed(
        id: str, caller: CallerOf, cursor: str | None = None, limit: Limit = 50
    ) -> Page[LicenseMapping]:
        """The reseller's licence mappings."""
        require_role(caller)
        await shelf.resellers.load(id)
        return Page[LicenseMapping].model_validate(await views.mappings(id, cursor, limit))

    @routes.get("/{mapping_id}", operation_id="view_license_mapping")
    async def one(id: str, mapping_id: str, caller: CallerOf, response: Response) -> LicenseMapping:
        """One licence mapping."""
        require_role(caller)
        return _answered(response, await commands.view_license_mapping(shelf, id, mapping_id))

    @routes.delete("/{mapping_id}", operation_id="unmap_license")
    async def unmap(
        id: str,
        mapping_id: str,
        caller: CallerOf,
        cause: CauseOf,
        response: Response,
        confirm: Confirm = False,
        expected: int = if_match,
    ) -> LicenseMapping:
        """Delete a mapping; the product can then no longer be bought."""
        require_confirmed(confirm)
        loaded = await commands.unmap_license(shelf, id, mapping_id, expected, caller, cause)
        return _answered(response, loaded)

    return routes


def _answered(response: Response, loaded: Loaded[LicenseMapping]) -> LicenseMapping:
    return answer(response, f"license-mapping/{loaded.state.id}", loaded.sequence, loaded.state)
