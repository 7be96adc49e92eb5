"""The marketplace modules and their regions over HTTP."""

from collections.abc import Sequence
from typing import Any, Protocol

from fastapi import APIRouter
from pydantic import BaseModel, Field

from purser_common.errors import NotFound
from purser_common.web import CallerOf, Page
from reseller_service.api.resellers import require_role
from reseller_service.domain.resellers import MODULE, Region


class Views(Protocol):
    """Reads this service's own database."""

    async def marketplace(self) -> dict[str, Any]: ...


class MarketplaceModule(BaseModel):
    """A marketplace that Purser can buy at."""

    id: str
    name: str
    resellers: int = Field(description="Those that are not deleted.")
    license_mappings: int = Field(description="Of these resellers.")


class RegionOption(BaseModel):
    """A region to choose from."""

    code: str
    name: str


def router(regions: Sequence[Region], views: Views) -> APIRouter:
    """The public routes about marketplaces."""
    routes = APIRouter(prefix="/v1/marketplaces", tags=["marketplaces"])

    @routes.get("", operation_id="list_marketplaces")
    async def listed(caller: CallerOf) -> Page[MarketplaceModule]:
        """The marketplace modules, with how much is in them."""
        require_role(caller)
        return Page[MarketplaceModule].model_validate({"items": [await views.marketplace()]})

    @routes.get("/{marketplace}", operation_id="view_marketplace")
    async def one(marketplace: str, caller: CallerOf) -> MarketplaceModule:
        """One marketplace module, with how much is in it."""
        require_role(caller)
        _require_known(marketplace)
        return MarketplaceModule.model_validate(await views.marketplace())

    @routes.get("/{marketplace}/regions", operation_id="list_regions")
    async def listed_regions(marketplace: str, caller: CallerOf) -> Page[RegionOption]:
        """The regions in which a reseller can be."""
        require_role(caller)
        _require_known(marketplace)
        options = [RegionOption(code=one.code, name=one.name) for one in regions]
        return Page[RegionOption](items=options)

    return routes


def _require_known(marketplace: str) -> None:
    if marketplace != MODULE:
        raise NotFound(f"there is no such marketplace; one of: {MODULE}")
