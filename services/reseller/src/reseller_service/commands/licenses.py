"""Reading which licences there are, what stands for each at a reseller, and what may."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from purser_common.errors import NotFound, Problem
from purser_events.reseller import LicenseMapping
from reseller_service.commands.catalogue import Window, ready
from reseller_service.commands.mapping import Shelf
from reseller_service.domain import licenses as rules
from reseller_service.domain.licenses import License, Suggestion, Wanted

MOST_MAPPINGS = 200
"""So many mappings of a licence, at all resellers, are looked at for suggestions."""
UNREADABLE = "the catalogue cannot be read now"
NOTHING = "no identifier of an unmapped product is this licence's; names do not count"


@dataclass(frozen=True)
class Shown:
    """A licence with its mappings at a reseller, the default first, and what the catalogue has."""

    license: License
    mappings: tuple[LicenseMapping, ...]
    listed: dict[str, bool]


@dataclass(frozen=True)
class Proposal:
    """What may be mapped to a licence; without suggestions, why there are none."""

    shown: Shown
    suggestions: tuple[Suggestion, ...]
    note: str | None


async def list_licenses(
    shelf: Shelf, reseller_id: str, wanted: Wanted
) -> tuple[list[Shown], tuple[str, str] | None]:
    """Every known licence by name, mapped or not (R23, R24), and where the next page begins.

    Raises NotFound for the reseller.
    """
    await shelf.resellers.load(reseller_id)
    used = await shelf.mappings.skus(reseller_id)
    licenses, more = rules.page(shelf.licenses, used, wanted)
    shown = await _shown(shelf, reseller_id, licenses)
    return shown, licenses[-1].place if more else None


async def view_license(shelf: Shelf, window: Window, reseller_id: str, sku_id: str) -> Proposal:
    """One licence, with the products that exact identifiers suggest for it (R23, R26).

    Raises NotFound for the reseller and for a licence that neither Microsoft's list nor a mapping has.
    """
    await shelf.resellers.load(reseller_id)
    mappings = await shelf.mappings.anywhere(sku_id, MOST_MAPPINGS)
    part = next((one.sku_part_number for one in mappings if one.sku_part_number), None)
    license = shelf.licenses.named(sku_id, part)
    if not license.known and not any(one.reseller_id == reseller_id for one in mappings):
        raise NotFound("there is no such licence")
    (shown,) = await _shown(shelf, reseller_id, [license])
    try:
        await ready(window, reseller_id)
    except Problem:
        return Proposal(shown, (), UNREADABLE)
    kept = await shelf.known.of_mpns(reseller_id, rules.telling_mpns(license, mappings))
    rows = [one.listing for one in kept if one.listed]
    taken = await shelf.mappings.mapped([one.id(reseller_id) for one in rows])
    found = rules.suggestions(license, reseller_id, rows, mappings, taken)
    return Proposal(shown, tuple(found), None if found else NOTHING)


async def listed_products(shelf: Shelf, mappings: Sequence[LicenseMapping]) -> dict[str, bool]:
    """Whether the catalogue had the product of each mapping when it was read last."""
    kept = await shelf.known.find_all([one.id for one in mappings])
    return {id: one.listed for id, one in kept.items()}


async def _shown(shelf: Shelf, reseller_id: str, licenses: list[License]) -> list[Shown]:
    mappings = await shelf.mappings.of_skus(reseller_id, [one.sku_id for one in licenses])
    listed = await listed_products(shelf, mappings)
    by_sku = {
        sku: sorted(found, key=lambda one: (not one.is_default, one.product_name, one.id))
        for sku, found in groupby(mappings, key=lambda one: one.sku_id)
    }
    return [Shown(one, tuple(by_sku.get(one.sku_id, ())), listed) for one in licenses]
