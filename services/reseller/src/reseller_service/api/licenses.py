"""Microsoft's licences at a reseller over HTTP."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from purser_common.web import CallerOf, Page, cursor, position
from purser_events.reseller import LicenseMapping
from purser_events.values import ProductIdentity
from reseller_service.api.resellers import Limit, require_role
from reseller_service.commands import licenses as commands
from reseller_service.commands.catalogue import Window
from reseller_service.commands.licenses import Proposal, Shown
from reseller_service.commands.mapping import Shelf
from reseller_service.domain.licenses import Suggestion, Wanted


class ListedMapping(LicenseMapping):
    """A mapping, and whether its product is still there."""

    product_listed: bool | None = Field(
        description="Whether the catalogue had the product when it was read last; null: unknown."
    )


class LicenseRow(BaseModel):
    """A Microsoft licence and what stands for it at this reseller."""

    sku_id: str
    sku_part_number: str | None
    name: str = Field(description="As Microsoft publishes it; else the part number, else the id.")
    known: bool = Field(description="False: Microsoft's published list does not have it.")
    mapped: bool = Field(description="False: it can neither be bought nor be recognised here.")
    mappings: list[ListedMapping] = Field(description="The default first.")


class ReasonShown(BaseModel):
    """Which identifiers are the same."""

    kind: str = Field(
        description="`part_number`, `sku_id`: the product's MPN is the licence's. `same_mpn`: other "
        "periods of the product are mapped to it. `other_reseller`: the same product is, there."
    )
    mapping_id: str | None
    reseller_id: str | None


class SuggestedProduct(BaseModel):
    """A product that may be mapped to the licence."""

    product: ProductIdentity
    name: str
    reasons: list[ReasonShown]


class LicenseDetail(LicenseRow):
    """A licence with the products that exact identifiers suggest for it."""

    suggestions: list[SuggestedProduct]
    suggestions_note: str | None = Field(description="Why there are none.")


def router(shelf: Shelf, window: Window) -> APIRouter:
    """The public routes about licences."""
    routes = APIRouter(prefix="/v1/resellers/{id}/licenses", tags=["license mappings"])

    @routes.get("", operation_id="list_licenses")
    async def listed(
        id: str,
        caller: CallerOf,
        q: Annotated[str, Query(max_length=200, description="In the name or part number.")] = "",
        mapped: bool | None = None,
        after: Annotated[str | None, Query(alias="cursor")] = None,
        limit: Limit = 50,
    ) -> Page[LicenseRow]:
        """Every Microsoft licence by name, with what is mapped to it at this reseller."""
        require_role(caller)
        wanted = Wanted(q.strip(), mapped, _place(after), limit)
        found, following = await commands.list_licenses(shelf, id, wanted)
        rows = [LicenseRow.model_validate(_row(one)) for one in found]
        return Page[LicenseRow](items=rows, next=cursor(*following) if following else None)

    @routes.get("/{sku_id}", operation_id="view_license")
    async def one(id: str, sku_id: uuid.UUID, caller: CallerOf) -> LicenseDetail:
        """One licence, with the products that exact identifiers suggest for it."""
        require_role(caller)
        return _detail(await commands.view_license(shelf, window, id, str(sku_id)))

    return routes


def shown_mapping(mapping: LicenseMapping, listed: dict[str, bool]) -> ListedMapping:
    """A mapping with what the catalogue says of its product."""
    return ListedMapping(**mapping.model_dump(), product_listed=listed.get(mapping.id))


def _place(after: str | None) -> tuple[str, str] | None:
    found = position(after, str, str)
    return (found[0], found[1]) if found else None


def _row(shown: Shown) -> dict[str, object]:
    license = shown.license
    return {
        "sku_id": license.sku_id,
        "sku_part_number": license.part_number,
        "name": license.name,
        "known": license.known,
        "mapped": bool(shown.mappings),
        "mappings": [shown_mapping(one, shown.listed) for one in shown.mappings],
    }


def _detail(proposal: Proposal) -> LicenseDetail:
    suggestions = [_suggested(one) for one in proposal.suggestions]
    fields = {"suggestions": suggestions, "suggestions_note": proposal.note}
    return LicenseDetail.model_validate(_row(proposal.shown) | fields)


def _suggested(suggestion: Suggestion) -> SuggestedProduct:
    return SuggestedProduct(
        product=suggestion.product.product,
        name=suggestion.product.name,
        reasons=[
            ReasonShown(kind=one.kind, mapping_id=one.mapping_id, reseller_id=one.reseller_id)
            for one in suggestion.reasons
        ],
    )
