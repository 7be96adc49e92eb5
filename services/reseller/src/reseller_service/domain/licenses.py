"""Microsoft's licences by name, and which products stand for one by exact identifiers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from purser_common.errors import FieldError, Invalid
from purser_events.reseller import LicenseMapping
from purser_events.values import product_id
from reseller_service.domain.mapping import CatalogProduct, Sku, same_product

PART_NUMBER, SKU_ID = "part_number", "sku_id"
SAME_MPN, OTHER_RESELLER = "same_mpn", "other_reseller"


@dataclass(frozen=True)
class License:
    """A Microsoft SKU. Of one that Microsoft's list does not have, only a mapping tells the name."""

    sku_id: str
    part_number: str | None
    name: str
    known: bool = True

    @property
    def place(self) -> tuple[str, str]:
        """Where it stands in a list."""
        return self.name.casefold(), self.sku_id

    def called(self, words: str) -> bool:
        """Whether this is in its name or part number, or is its id."""
        part = (self.part_number or "").casefold()
        return words in self.name.casefold() or words in part or words == self.sku_id


@dataclass(frozen=True)
class Licenses:
    """Every licence that Microsoft has published."""

    all: tuple[License, ...]

    @cached_property
    def by_id(self) -> Mapping[str, License]:
        """The licences by SKU id."""
        return {one.sku_id: one for one in self.all}

    def named(self, sku_id: str, part_number: str | None) -> License:
        """The licence of an id, also one that Microsoft's list does not have."""
        unknown = License(sku_id, part_number, part_number or sku_id, known=False)
        return self.by_id.get(sku_id, unknown)

    def completed(self, sku: Sku) -> Sku:
        """The SKU with its part number. Raises Invalid for one of another SKU."""
        known = self.by_id.get(sku.id or "")
        if known is None or known.part_number in (None, sku.part_number):
            return sku
        if sku.part_number is not None:
            remedy = f"leave it out, or give {known.part_number}"
            raise Invalid(
                "the part number is not this SKU's",
                code="sku_part_number_mismatch",
                errors=(FieldError("/sku_part_number", remedy),),
            )
        return Sku(sku.id, known.part_number, sku.is_default)


def read(table: str) -> Licenses:
    """The licences of a table: a line each with id, part number if known, and name, tabs in between."""
    rows = [line.split("\t") for line in table.splitlines() if line and not line.startswith("#")]
    return Licenses(tuple(License(id, part or None, name) for id, part, name in rows))


@dataclass(frozen=True)
class Wanted:
    """Which licences a list shall show; `after` is where the page before ended."""

    words: str
    mapped: bool | None
    after: tuple[str, str] | None
    limit: int


def page(
    licenses: Licenses, used: Mapping[str, str | None], wanted: Wanted
) -> tuple[list[License], bool]:
    """A page of all licences by name, with those that are used and unknown, and whether more follow.

    `used` tells the part number of every SKU that has a mapping.
    """
    strangers = [licenses.named(id, part) for id, part in used.items() if id not in licenses.by_id]
    words = wanted.words.casefold()
    fitting = sorted(
        (
            one
            for one in (*licenses.all, *strangers)
            if one.called(words) and wanted.mapped in (None, one.sku_id in used)
            if wanted.after is None or one.place > wanted.after
        ),
        key=lambda one: one.place,
    )
    return fitting[: wanted.limit], len(fitting) > wanted.limit


@dataclass(frozen=True)
class Reason:
    """Which identifiers are the same; of a mapping: of which one, at whom."""

    kind: str
    mapping_id: str | None = None
    reseller_id: str | None = None


@dataclass(frozen=True)
class Suggestion:
    """A product that stands for a licence, by what is the same."""

    product: CatalogProduct
    reasons: tuple[Reason, ...]


def telling_mpns(license: License, mappings: Iterable[LicenseMapping]) -> list[str]:
    """The MPNs under which products of this licence may be listed, each at least once a reason."""
    own = [license.part_number, license.sku_id]
    return list(dict.fromkeys(m for m in (*own, *(one.product.mpn for one in mappings)) if m))


def suggestions(
    license: License,
    reseller_id: str,
    rows: Iterable[CatalogProduct],
    mappings: Sequence[LicenseMapping],
    taken: frozenset[str],
) -> list[Suggestion]:
    """The products that exact identifiers name, never the names of things; what is mapped is left out.

    `mappings` are those to this licence at any reseller, `taken` the ids of what is mapped at this one.
    """
    found = []
    for row in rows:
        reasons = tuple(_reasons(license, reseller_id, row, mappings))
        if reasons and product_id(reseller_id, row.product) not in taken:
            found.append(Suggestion(row, reasons))
    return found


def _reasons(
    license: License, reseller_id: str, row: CatalogProduct, mappings: Sequence[LicenseMapping]
) -> Iterable[Reason]:
    if row.product.mpn == license.part_number:
        yield Reason(PART_NUMBER)
    if row.product.mpn.casefold() == license.sku_id:
        yield Reason(SKU_ID)
    for one in mappings:
        here = one.reseller_id == reseller_id
        named = (one.product.mpn, one.product.vendor) == (row.product.mpn, row.product.vendor)
        if here and named:
            yield Reason(SAME_MPN, one.id, one.reseller_id)
        if not here and same_product(one.product, row.product):
            yield Reason(OTHER_RESELLER, one.id, one.reseller_id)
