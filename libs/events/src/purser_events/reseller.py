"""Facts about resellers and their licence mapping, published by the reseller service."""

from typing import ClassVar

from pydantic import AwareDatetime, Field

from purser_events.envelope import Fact, Published
from purser_events.values import ProductIdentity


class Reseller(Published):
    """A reseller account at the marketplace, as the MSP configured it. Credentials never appear."""

    id: str
    marketplace: str
    display_name: str
    region: str = Field(description="Code of the marketplace region, e.g. `us`.")
    marketplace_reseller_id: str = Field(description="The reseller's id at the marketplace.")
    marketplace_reseller_name: str
    account_kind: str = Field(description="`parent`: sees resellers below it; `leaf`: itself only.")
    buying_enabled: bool = Field(description="False: nothing may be bought through this reseller.")
    po_suffix: bool = Field(
        default=True,
        description="True: a mark of the request follows each purchase order number that is sent. "
        "False: the number is sent as it was typed, and more orders need a person's look.",
    )
    credentials_set_at: AwareDatetime
    added_at: AwareDatetime
    status: str = Field(default="active", description="`active` or `deleted`.")


class ResellerFact(Fact):
    """A fact about a reseller."""

    state: Reseller


class ResellerAdded(ResellerFact):
    """A reseller was added; its credentials were proven at the marketplace. Buying is off."""

    TOPIC: ClassVar[str] = "reseller.added"


class ResellerUpdated(ResellerFact):
    """A field of a reseller was changed."""

    TOPIC: ClassVar[str] = "reseller.updated"


class ResellerBuyingEnabled(ResellerFact):
    """From now on licences may be bought through this reseller."""

    TOPIC: ClassVar[str] = "reseller.buying-enabled"


class ResellerBuyingDisabled(ResellerFact):
    """From now on nothing is bought through this reseller."""

    TOPIC: ClassVar[str] = "reseller.buying-disabled"


class LicenseMapping(Published):
    """Which Microsoft SKU a marketplace product stands for, at one reseller."""

    id: str
    marketplace: str
    reseller_id: str
    product: ProductIdentity
    product_name: str
    sku_id: str | None = Field(
        default=None, description="Microsoft's SKU id (GUID); absent: no licence."
    )
    sku_part_number: str | None = Field(default=None, examples=["SPB"])
    is_default: bool = Field(description="Automation buys this product for the SKU.")
    status: str = Field(default="mapped", description="`mapped` or `unmapped`.")


class LicenseMappingFact(Fact):
    """A fact about a licence mapping."""

    state: LicenseMapping


class LicenseMapped(LicenseMappingFact):
    """A marketplace product was mapped to a Microsoft SKU or to no licence; it may be bought."""

    TOPIC: ClassVar[str] = "license.mapped"


class LicenseUnmapped(LicenseMappingFact):
    """A mapping was deleted; the product may no longer be bought."""

    TOPIC: ClassVar[str] = "license.unmapped"
