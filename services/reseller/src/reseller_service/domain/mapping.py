"""Which Microsoft licence a marketplace product stands for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from purser_common.errors import Conflict, FieldError, Invalid
from purser_events.envelope import Change
from purser_events.reseller import (
    LicenseMapped,
    LicenseMapping,
    LicenseMappingFact,
    LicenseUnmapped,
)
from purser_events.values import Money, ProductIdentity, product_id
from reseller_service.domain.resellers import MODULE

MAPPED, UNMAPPED = "mapped", "unmapped"
LARGEST_QUANTITY = 2**31 - 1
"""Seats are 32-bit numbers at the marketplace (marketplace-api §1.5)."""


class CatalogPrice(BaseModel):
    """One price of a product; several of one type are tiers, each from `lower_limit` up."""

    model_config = ConfigDict(frozen=True)

    type: str
    model: str
    money: Money
    lower_limit: int | None


class CatalogProduct(BaseModel):
    """A row of the marketplace's catalogue, as this reseller's credentials show it."""

    model_config = ConfigDict(frozen=True)

    product: ProductIdentity
    name: str
    service_name: str
    minimum_quantity: int
    maximum_quantity: int
    billing_model: str
    depends_on: tuple[str, ...] = Field(
        description="MPNs that the marketplace adds to an order when the customer lacks them."
    )
    prices: tuple[CatalogPrice, ...] = Field(
        description=(
            "What the reseller charges its customers; indicative. Empty: unknown, as with a parent's "
            "credentials."
        )
    )
    costs: tuple[CatalogPrice, ...] | None = Field(
        description="What the reseller pays; null: unknown, or you are no price admin."
    )


@dataclass(frozen=True)
class Sku:
    """What a product is mapped to; without an id: to no licence."""

    id: str | None
    part_number: str | None
    is_default: bool


@dataclass(frozen=True)
class Remapping:
    """What to change of a mapping; without `sku` it stays with its licence."""

    sku: Sku | None
    is_default: bool | None


def same_product(one: ProductIdentity, other: ProductIdentity) -> bool:
    """Whether both name one product; only period types are compared without letter case."""
    return product_id("", one) == product_id("", other)


def seats(minimum: Decimal | None, maximum: Decimal | None) -> tuple[int, int]:
    """Whole seats inside the limits that the catalogue states; an unstated one does not limit."""
    least = 1 if minimum is None else int(minimum.to_integral_value(ROUND_CEILING))
    most = LARGEST_QUANTITY if maximum is None else int(maximum.to_integral_value(ROUND_FLOOR))
    return max(least, 1), min(most, LARGEST_QUANTITY)


def require_meaningful(sku: Sku) -> None:
    """Raises Invalid for a SKU name or a default without a SKU."""
    if sku.id is not None:
        return
    wrong = [
        FieldError(pointer, "leave this out, or name the sku_id")
        for pointer, given in (
            ("/sku_part_number", sku.part_number is not None),
            ("/is_default", sku.is_default),
        )
        if given
    ]
    if wrong:
        raise Invalid("no licence has neither a name nor a default", errors=tuple(wrong))


def license_mapped(
    before: LicenseMapping | None, reseller_id: str, sold: CatalogProduct, sku: Sku
) -> tuple[LicenseMapping, tuple[LicenseMappingFact, ...]]:
    """Maps a product that is not mapped (R23, R26). Raises Conflict when it is."""
    id = product_id(reseller_id, sold.product)
    if before is not None and before.status == MAPPED:
        raise Conflict(
            "this product is already mapped; delete its mapping first",
            code="mapping_exists",
            mapping_id=id,
        )
    state = LicenseMapping(
        id=id,
        marketplace=MODULE,
        reseller_id=reseller_id,
        product=sold.product,
        product_name=sold.name,
        sku_id=sku.id,
        sku_part_number=sku.part_number,
        is_default=sku.is_default,
        status=MAPPED,
    )
    return state, (LicenseMapped(state=state, changes=(Change(pointer="/sku_id", after=sku.id),)),)


def license_remapped(
    mapping: LicenseMapping, sku: Sku
) -> tuple[LicenseMapping, tuple[LicenseMappingFact, ...]]:
    """Maps a mapped product to another licence, or makes it a default or not (R25)."""
    after = {"sku_id": sku.id, "sku_part_number": sku.part_number, "is_default": sku.is_default}
    changes = tuple(
        Change(pointer=f"/{field}", before=getattr(mapping, field), after=value)
        for field, value in after.items()
        if getattr(mapping, field) != value
    )
    if not changes:
        return mapping, ()
    state = mapping.model_copy(update=after)
    return state, (LicenseMapped(state=state, changes=changes),)


def wanted_sku(mapping: LicenseMapping, edit: Remapping) -> Sku:
    """The licence that a mapping shall have: of another one it is the default only where that is said."""
    if edit.sku is None or edit.sku.id == mapping.sku_id:
        part = edit.sku.part_number if edit.sku else None
        default = mapping.is_default if edit.is_default is None else edit.is_default
        return Sku(mapping.sku_id, part or mapping.sku_part_number, default)
    return Sku(edit.sku.id, edit.sku.part_number, bool(edit.is_default))


def require_unused(mapping: LicenseMapping, requests: Sequence[Mapping[str, Any]]) -> None:
    """Raises Conflict naming the open requests for the mapping's product."""
    using = [
        {name: value for name, value in one.items() if name != "product"}
        for one in requests
        if same_product(ProductIdentity.model_validate(one["product"]), mapping.product)
    ]
    if using:
        raise Conflict(
            "open requests use this mapping; those that were not sent will fail without it",
            code="mapping_in_use",
            requests=using,
            remedy="withdraw or await them, or say that you mean it: ?force=true",
        )


def license_unmapped(
    mapping: LicenseMapping,
) -> tuple[LicenseMapping, tuple[LicenseMappingFact, ...]]:
    """Deletes a mapping: a state that keeps the document (R27, design §6)."""
    if mapping.status == UNMAPPED:
        return mapping, ()
    state = mapping.model_copy(update={"status": UNMAPPED, "is_default": False})
    change = Change(pointer="/status", before=MAPPED, after=UNMAPPED)
    return state, (LicenseUnmapped(state=state, changes=(change,)),)
