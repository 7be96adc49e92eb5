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
    credentials_set_at: AwareDatetime = Field(
        description="When the credentials were last proven at the marketplace and stored."
    )
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


class ResellerDeleted(ResellerFact):
    """A reseller was deleted, with its credentials; no tenant was connected to it."""

    TOPIC: ClassVar[str] = "reseller.deleted"


class ResellerAccount(Published):
    """Whether the marketplace takes a reseller's credentials, as their use shows it."""

    id: str = Field(description="The reseller's id.")
    marketplace: str
    reseller_id: str
    status: str = Field(description="`working` or `broken`.")
    since: AwareDatetime
    reason: str | None = Field(
        default=None,
        description="Why it is broken: `credentials_refused` (login or subscription key), "
        "`forbidden` (the marketplace does not allow `resource`), `gateway_refused` (the gateway in "
        "front of it: key or quota). Open set.",
    )
    resource: str | None = Field(
        default=None, description="What was refused, e.g. `orders`; absent: everything."
    )
    detail: str | None = Field(default=None, description="What the marketplace said, in one line.")
    credentials_set_at: AwareDatetime = Field(
        description="Which credentials were used: `credentials_set_at` of the reseller."
    )


class ResellerAccountFact(Fact):
    """A fact about a reseller's account at the marketplace."""

    state: ResellerAccount


class ResellerAccountBroken(ResellerAccountFact):
    """The marketplace refuses a reseller's credentials: nothing is read or bought with them."""

    TOPIC: ClassVar[str] = "reseller.account-broken"


class ResellerAccountRecovered(ResellerAccountFact):
    """The marketplace takes the credentials of an account that was broken."""

    TOPIC: ClassVar[str] = "reseller.account-recovered"


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
    """A marketplace product was mapped to a Microsoft SKU or to no licence, or its mapping changed.

    It may be bought.
    """

    TOPIC: ClassVar[str] = "license.mapped"


class LicenseUnmapped(LicenseMappingFact):
    """A mapping was deleted; the product may no longer be bought."""

    TOPIC: ClassVar[str] = "license.unmapped"
