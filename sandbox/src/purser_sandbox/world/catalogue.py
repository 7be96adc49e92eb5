"""The sample catalogue. Every MPN and amount is invented; names make screens readable."""

from dataclasses import dataclass
from decimal import Decimal

from purser_sandbox.world.records import Period, PriceRow, Product

MONTH, YEAR, THREE_YEARS = (
    Period(type="month", duration=1),
    Period(type="year", duration=1),
    Period(type="year", duration=3),
)
_TERMS = {"P1M": MONTH, "P1Y": YEAR, "P3Y": THREE_YEARS}
BASES = ["SIMBB:", "SIMBS:", "SIMBP:", "SIME3:"]

# offer, MPN stem, maximum, bases of which one is needed, {term:billing -> (cost, price)}
_OFFERS: list[tuple[str, str, str, list[str], dict[str, tuple[str, str]]]] = [
    ("Microsoft 365 Business Basic", "SIMBB:0001", "300.0", [], {
        "P1M:M": ("6.15", "7.32"), "P1Y:M": ("5.38", "6.41"), "P1Y:A": ("61.49", "73.20")}),
    ("Microsoft 365 Business Standard", "SIMBS:0001", "300.0", [], {
        "P1M:M": ("12.80", "15.24"), "P1Y:M": ("11.20", "13.34"), "P1Y:A": ("128.02", "152.40")}),
    ("Microsoft 365 Business Premium", "SIMBP:0001", "300.0", [], {
        "P1M:M": ("22.48", "26.76"), "P1Y:M": ("19.67", "23.42"), "P1Y:A": ("224.78", "267.60"),
        "P3Y:A": ("224.78", "267.60"), "P3Y:T": ("674.35", "802.80")}),
    ("Microsoft 365 E3", "SIME3:0001", "10000.0", [], {
        "P1M:M": ("38.71", "46.08"), "P1Y:M": ("33.87", "40.32"), "P1Y:A": ("387.07", "460.80"),
        "P3Y:M": ("33.87", "40.32"), "P3Y:A": ("387.07", "460.80"),
        "P3Y:T": ("1161.22", "1382.40")}),
    ("Microsoft 365 Copilot (add-on)", "SIMCOP:0002", "10000.0", BASES[1:], {
        "P1Y:M": ("26.11", "31.08"), "P1Y:A": ("298.37", "355.20")}),
    ("Teams Phone Standard (add-on)", "SIMTPS:0002", "10000.0", BASES, {
        "P1M:M": ("9.78", "11.64"), "P1Y:M": ("8.56", "10.19"), "P1Y:A": ("97.78", "116.40")}),
    ("Defender for Office 365 Plan 1 (add-on)", "SIMDO1:0002", "10000.0", BASES, {
        "P1M:M": ("2.17", "2.58"), "P1Y:M": ("1.90", "2.26")}),
]  # fmt: skip

# Public skuId and skuPartNumber of Microsoft's own list, by MPN stem.
SKUS: dict[str, tuple[str, str]] = {
    "SIMBB:0001": ("3b555118-da6a-4418-894f-7df1e2096870", "O365_BUSINESS_ESSENTIALS"),
    "SIMBS:0001": ("f245ecc8-75af-4f8e-b61f-27d8114de5f3", "O365_BUSINESS_PREMIUM"),
    "SIMBP:0001": ("cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46", "SPB"),
    "SIME3:0001": ("05e9a617-0261-4cee-bb44-138d3ef5d965", "SPE_E3"),
    "SIMCOP:0002": ("639dec6b-bb19-468b-871c-c5c441c4b0cb", "Microsoft_365_Copilot"),
    "SIMTPS:0002": ("e43b5b99-8dfb-405f-9987-dc307f34bcbd", "MCOEV"),
    "SIMDO1:0002": ("4ef96642-f096-40de-a3e9-d83fb2f90211", "ATP_ENTERPRISE"),
    "SIMVIS:0001": ("c5928f49-12ba-48f7-ada3-0d743a3601d5", "VISIOCLIENT"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """An offer: its products bought together for one term land in one subscription."""

    id: int
    name: str
    billing_period: Period
    billing_model: str
    subscription_periods: tuple[Period, ...]
    published: bool = True


class Catalogue:
    """All rows, and the plans that they belong to."""

    def __init__(self, additional: int = 0) -> None:
        self.products: dict[str, Product] = {}
        self._plan_ids: dict[tuple[str, str, int], int] = {}
        for offer, stem, maximum, bases, prices in _OFFERS:
            for suffix, (cost, price) in prices.items():
                term = _TERMS[suffix[:3]]
                billing = {"M": MONTH, "A": YEAR, "T": THREE_YEARS}[suffix[4]]
                self._add(offer, f"{stem}_{suffix}", offer, term, billing, cost, price,
                          maximum=Decimal(maximum), needs_base=bases)  # fmt: skip
        self._add_special_rows()
        for number in range(1, additional + 1):
            amount = Decimal(number % 97 + 1) + Decimal("0.42")
            self._add(f"Sample service {number}", f"SIMGEN:{number:05d}", "Sample services",
                      MONTH, MONTH, str(amount), str(amount + Decimal("0.58")))  # fmt: skip
        self.plans = self._plans()

    def published(self) -> list[Product]:
        return [product for product in self.products.values() if product.published]

    def by_mpn(self, mpn: str) -> list[Product]:
        return [product for product in self.published() if product.mpn == mpn]

    def _add(
        self,
        offer: str,
        mpn: str,
        name: str,
        term: Period,
        billing: Period,
        cost: str,
        price: str,
        **more: object,
    ) -> Product:
        plan = self._plan_ids.setdefault(
            (offer, billing.type, billing.duration), 10001 + len(self._plan_ids)
        )
        fields: dict[str, object] = {
            "id": f"PRD{326001 + len(self.products)}",
            "mpn": mpn,
            "name": name,
            "service_name": offer,
            "plan_id": plan,
            "subscription_period": term,
            "billing_period": billing,
            "prices": [PriceRow(cost=Decimal(cost), price=Decimal(price))],
        }
        product = Product.model_validate(fields | more)
        self.products[product.id] = product
        return product

    def _add_special_rows(self) -> None:
        add = self._add
        add("Visio Plan 2", "SIMVIS:0001", "Visio Plan 2", YEAR, MONTH, "14.30", "17.00")
        add("Visio Plan 2", "SIMVIS:0001", "Visio Plan 2", YEAR, YEAR, "163.40", "194.50")
        add("Microsoft 365 Business Standard", "SIMXFS:0001", "Extra File Storage", MONTH, MONTH,
            "0.17", "0.20", minimum=Decimal("0.0"), depends_on=["SIMBS:0001_P1M:M"])  # fmt: skip
        add("Windows upgrade licence", "SIMWIN:0001", "Windows upgrade licence",
            Period(type="year", duration=10), Period(type="year", duration=10), "81.00", "99.00",
            price_type="setup", billing_model="chargeBeforeSubscriptionPeriod")  # fmt: skip
        tiers = [
            PriceRow(cost=Decimal("2.10"), price=Decimal("2.60"), lower_limit=1),
            PriceRow(cost=Decimal("1.80"), price=Decimal("2.30"), lower_limit=50),
        ]
        add("Backup", "SIMBAK:0001", "Backup per seat", MONTH, MONTH, "2.10", "2.60",
            prices=tiers, price_model="VOLUME_SUBSCRIPTION")  # fmt: skip
        add("Azure plan", "SIMAZ:0001", "Azure plan", MONTH, MONTH, "0", "0",
            billing_model="chargeExternalRating", maximum=Decimal("1.0"))  # fmt: skip
        add("Add-on M", "SIMCOT:0001", "Add-on M", YEAR, YEAR, "40.00", "48.00",
            coterming="MANDATORY")  # fmt: skip
        add("Retired offer", "SIMOLD:0001", "Retired offer", MONTH, MONTH, "5.00", "6.00",
            published=False)  # fmt: skip

    def _plans(self) -> dict[int, Plan]:
        plans: dict[int, Plan] = {}
        for (offer, _, _), number in self._plan_ids.items():
            rows = [row for row in self.products.values() if row.plan_id == number]
            periods = {(p.subscription_period.type, p.subscription_period.duration) for p in rows}
            plans[number] = Plan(
                id=number,
                name=offer,
                billing_period=rows[0].billing_period,
                billing_model=rows[0].billing_model,
                subscription_periods=tuple(
                    Period(type=kind, duration=duration) for kind, duration in sorted(periods)
                ),
                published=any(row.published for row in rows),
            )
        return plans
