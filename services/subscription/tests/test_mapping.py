"""Mapped or not: what is mirrored is marked by the mappings that hold now, and what lacks one is counted."""

from typing import Any

from purser_common.testing import eventually
from purser_events.reseller import LicenseMapped, LicenseMapping, LicenseUnmapped
from purser_events.values import ProductIdentity

SKU = "f245ecc8-75af-4f8e-b61f-27d8114de5f3"


class Mapping:
    """The mapping of a shop's product, told as its owner tells it."""

    def __init__(self, service: Any, shop: Any, product: dict[str, Any]) -> None:
        self.service, self.shop = service, shop
        self.product = ProductIdentity.model_validate(product)

    async def tell(self, sequence: int, sku: str | None = None, status: str = "mapped") -> None:
        state = LicenseMapping(
            id=f"mapping-{self.shop.reseller_id}",
            marketplace="ingram-micro-xvantage",
            reseller_id=self.shop.reseller_id,
            product=self.product,
            product_name="Business Standard",
            sku_id=sku,
            sku_part_number="O365_BUSINESS_PREMIUM" if sku else None,
            is_default=sku is not None,
            status=status,
        )
        fact = (LicenseMapped if status == "mapped" else LicenseUnmapped)(state=state)
        subject = f"license-mapping/{state.id}"
        await self.service.publish(fact, subject, sequence, self.shop.reseller_id)


async def test_an_option_is_marked_by_the_mapping_that_holds_now(service: Any, shop: Any) -> None:
    bought = await shop.buy(2)
    await service.tell(shop.tenant())
    found = (await service.mirrored(shop, bought)).json()
    assert [one["mapping"] for one in found["options"]] == ["unmapped"]
    mapping = Mapping(service, shop, found["options"][0]["product"])
    unmapped = "/v1/unmapped-subscriptions"

    async def marked(mark: str, sku: str | None, total: int) -> None:
        async def shown() -> bool:
            option = (await service.get(f"/v1/subscriptions/{shop.id(bought)}")).json()["options"][
                0
            ]
            there = (await service.get(unmapped, tenant_id=shop.tenant_id)).json()
            ids = [one["id"] for one in there["items"]]
            return bool(
                (option["mapping"], option["sku_id"]) == (mark, sku)
                and (there["total"], ids) == (total, [shop.id(bought)] * total)
            )

        await eventually(shown, within=20)

    await marked("unmapped", None, 1)
    await mapping.tell(1, SKU)
    await marked("mapped", SKU, 0)
    await mapping.tell(2, SKU, status="unmapped")
    await marked("unmapped", None, 1)
    await mapping.tell(3)
    await marked("no_license", None, 0)


async def test_unmapped_ones_are_listed_and_counted_within_the_scope(
    service: Any, shop: Any
) -> None:
    bought = [await shop.buy(quantity) for quantity in (1, 2, 3)]
    await service.tell(shop.tenant())
    for id in bought:
        await service.mirrored(shop, id)
    own = f"customer/{shop.customer_id}"
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await service.get("/v1/unmapped-subscriptions", own, limit=2, **cursor)).json()
        seen += [one["id"] for one in page["items"]]
        assert page["total"] == 3
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert sorted(seen) == sorted(map(shop.id, bought))
    other = (await service.get("/v1/unmapped-subscriptions", "tenant/another")).json()
    assert other == {"items": [], "next": None, "total": 0}
    nobody = (await service.get("/v1/unmapped-subscriptions", roles=())).json()
    assert nobody == {"items": [], "next": None, "total": 0}
