"""Every licence by name, what stands for it, and what exact identifiers suggest."""

import runpy
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purser_common.errors import Invalid
from purser_events.reseller import LicenseMapping
from purser_events.values import Period, ProductIdentity, product_id
from reseller_service.domain import licenses as rules
from reseller_service.domain.licenses import License, Licenses, Wanted
from reseller_service.domain.mapping import CatalogProduct, Sku
from reseller_service.store import published_licenses

RENEWAL = Path(__file__).parents[1] / "licenses.py"
PREMIUM, BASIC = "cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46", "3b555118-da6a-4418-894f-7df1e2096870"
SANDBOX = {
    BASIC: "O365_BUSINESS_ESSENTIALS",
    "f245ecc8-75af-4f8e-b61f-27d8114de5f3": "O365_BUSINESS_PREMIUM",
    PREMIUM: "SPB",
    "05e9a617-0261-4cee-bb44-138d3ef5d965": "SPE_E3",
    "639dec6b-bb19-468b-871c-c5c441c4b0cb": "Microsoft_365_Copilot",
    "e43b5b99-8dfb-405f-9987-dc307f34bcbd": "MCOEV",
    "4ef96642-f096-40de-a3e9-d83fb2f90211": "ATP_ENTERPRISE",
    "c5928f49-12ba-48f7-ada3-0d743a3601d5": "VISIOCLIENT",
}
MONTH, YEAR = Period(type="month", duration=1), Period(type="year", duration=1)
KNOWN = Licenses((License(PREMIUM, "SPB", "Premium"), License(BASIC, "BASIC", "Basic")))


def product(mpn: str = "M", vendor: str = "V", term: Period = YEAR) -> ProductIdentity:
    return ProductIdentity(mpn=mpn, vendor=vendor, subscription_period=term, billing_period=MONTH)


def row(identity: ProductIdentity, name: str = "Premium") -> CatalogProduct:
    return CatalogProduct(
        product=identity,
        name=name,
        service_name=name,
        minimum_quantity=1,
        maximum_quantity=300,
        billing_model="chargeBeforeBillingPeriod",
        depends_on=(),
        prices=(),
        costs=None,
    )


def mapping(identity: ProductIdentity, reseller: str = "r1") -> LicenseMapping:
    return LicenseMapping(
        id=product_id(reseller, identity),
        marketplace="m",
        reseller_id=reseller,
        product=identity,
        product_name="Premium",
        sku_id=PREMIUM,
        is_default=False,
    )


def test_the_table_has_each_licence_once_by_its_published_name() -> None:
    table = published_licenses()
    assert len(table.all) == len(table.by_id) >= 300
    assert {id: table.by_id[id].part_number for id in SANDBOX} == SANDBOX
    assert table.by_id[PREMIUM].name == "Microsoft 365 Business Premium"
    assert [one for one in table.all if str(uuid.UUID(one.sku_id)) != one.sku_id] == []
    assert [one for one in table.all if not one.name.strip() or one.part_number == ""] == []


def test_the_table_is_renewed_from_the_published_list_and_loses_nothing(tmp_path: Path) -> None:
    renewal = runpy.run_path(str(RENEWAL))
    table, source = tmp_path / "licenses.tsv", tmp_path / "published.csv"
    table.write_text(f"# head\n{BASIC}\t\tOld name\nx\tGONE\tWithdrawn\n")
    source.write_text(
        "\ufeffProduct_Display_Name,String_Id,GUID,Service_Plan_Name\n"
        f'"Microsoft  365, Basic",BASIC,{BASIC.upper()},ONE\n'
        f'"Microsoft  365, Basic",BASIC,{BASIC},TWO\n'
        f"Premium,SPB,{PREMIUM},ONE\n",
        encoding="utf-8",
    )
    renewal["main"](source, table)
    assert [
        (one.sku_id, one.part_number, one.name) for one in rules.read(table.read_text()).all
    ] == [
        (BASIC, "BASIC", "Microsoft 365, Basic"),
        (PREMIUM, "SPB", "Premium"),
        ("x", "GONE", "Withdrawn"),
    ]


@given(
    names=st.lists(st.text("abc", max_size=3), max_size=30),
    used=st.sets(st.integers(0, 35)),
    mapped=st.none() | st.booleans(),
    limit=st.integers(1, 7),
)
def test_pages_join_to_every_licence_once_in_order(
    names: list[str], used: set[int], mapped: bool | None, limit: int
) -> None:
    table = Licenses(tuple(License(f"{n:02}", "P", name) for n, name in enumerate(names)))
    mappings: dict[str, str | None] = {f"{n:02}": None for n in used}
    seen: list[License] = []
    after, more = None, True
    while more:
        found, more = rules.page(table, mappings, Wanted("", mapped, after, limit))
        assert len(found) <= limit
        seen += found
        after = found[-1].place if found else None
    assert seen == sorted(seen, key=lambda one: one.place)
    everything = {*mappings, *table.by_id}
    wanted = {None: everything, True: {*mappings}, False: everything - {*mappings}}[mapped]
    assert sorted(one.sku_id for one in seen) == sorted(wanted)


@pytest.mark.parametrize("words", ["prem", "SPB", PREMIUM])
def test_a_licence_is_found_by_name_part_number_and_id(words: str) -> None:
    found, more = rules.page(KNOWN, {}, Wanted(words, None, None, 10))
    assert ([one.sku_id for one in found], more) == ([PREMIUM], False)


def test_the_part_number_is_the_published_one() -> None:
    assert KNOWN.completed(Sku(PREMIUM, None, True)) == Sku(PREMIUM, "SPB", True)
    assert KNOWN.completed(Sku("x", "MINE", False)) == Sku("x", "MINE", False)
    assert KNOWN.completed(Sku(None, None, False)) == Sku(None, None, False)
    nameless = Licenses((License(PREMIUM, None, "Premium"),))
    assert nameless.completed(Sku(PREMIUM, "SPB", False)) == Sku(PREMIUM, "SPB", False)
    with pytest.raises(Invalid) as raised:
        KNOWN.completed(Sku(PREMIUM, "SPE_E5", False))
    assert raised.value.code == "sku_part_number_mismatch"


def reasons(*rows: CatalogProduct, mappings: list[LicenseMapping] | None = None) -> list[str]:
    license, known = KNOWN.by_id[PREMIUM], mappings or []
    taken = frozenset(one.id for one in known)
    found = rules.suggestions(license, "r1", rows, known, taken)
    return [reason.kind for one in found for reason in one.reasons]


def test_only_equal_identifiers_suggest_a_product() -> None:
    assert reasons(row(product("SPB"))) == ["part_number"]
    assert reasons(row(product(PREMIUM.upper()))) == ["sku_id"]
    assert reasons(row(product("SPB:0001")), row(product("spb")), row(product("Premium"))) == []


def test_another_period_of_a_mapped_product_is_suggested_and_another_vendors_is_not() -> None:
    mapped = [mapping(product(term=YEAR))]
    assert reasons(row(product(term=YEAR)), mappings=mapped) == []
    assert reasons(row(product(term=MONTH)), mappings=mapped) == ["same_mpn"]
    assert reasons(row(product(vendor="W", term=MONTH)), mappings=mapped) == []


def test_what_is_mapped_at_another_reseller_suggests_the_very_same_product() -> None:
    elsewhere = [mapping(product(), "r2")]
    assert reasons(row(product()), mappings=elsewhere) == ["other_reseller"]
    assert reasons(row(product(term=MONTH)), mappings=elsewhere) == []


@pytest.fixture
async def reseller(service: Any, sandbox: Any) -> dict[str, Any]:
    """A reseller of this test's own."""
    added: dict[str, Any] = await service.add(await sandbox.account())
    return added


async def put(service: Any, reseller: dict[str, Any], wanted: dict[str, Any], **more: Any) -> Any:
    path = f"/v1/resellers/{reseller['id']}/license-mappings"
    body = {"product": wanted, "sku_id": PREMIUM, **more}
    made = await service.call("POST", path, json=body)
    assert made.status_code == 201, made.text
    return made


async def test_unmapped_licences_and_unknown_ones_are_listed_too(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    path = f"/v1/resellers/{reseller['id']}/licenses"
    strange = str(uuid.uuid4())
    made = (await put(service, reseller, premium, is_default=True)).json()
    visio = {
        **premium,
        "mpn": "SIMVIS:0001",
        "subscription_period": {"type": "year", "duration": 1},
    }
    await put(service, reseller, visio, sku_id=strange, sku_part_number="ODD")

    async def rows(**params: Any) -> dict[str, Any]:
        found: list[dict[str, Any]] = []
        params = {"limit": 40, **params}
        while True:
            page = (await service.call("GET", path, roles=("viewer",), params=params)).json()
            found += page["items"]
            if page["next"] is None:
                return {one["sku_id"]: one for one in found}
            params["cursor"] = page["next"]

    everything = await rows()
    assert len(everything) == len(published_licenses().all) + 1
    assert everything[PREMIUM]["name"] == "Microsoft 365 Business Premium"
    assert everything[PREMIUM]["mappings"] == [{**made, "product_listed": True}]
    assert (everything[BASIC]["mapped"], everything[BASIC]["mappings"]) == (False, [])
    odd = everything[strange]
    assert (odd["name"], odd["known"], odd["mapped"]) == ("ODD", False, True)
    assert set(await rows(mapped=True)) == {PREMIUM, strange}
    named = await rows(q="business premium")
    assert PREMIUM in named
    assert BASIC not in named
    assert PREMIUM not in await rows(mapped=False)
    assert (await service.call("GET", "/v1/resellers/nobody/licenses")).status_code == 404
    assert (await service.call("GET", path, roles=())).status_code == 403


async def test_a_licence_suggests_what_is_mapped_elsewhere_and_says_when_it_knows_nothing(
    service: Any, sandbox: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    other = await service.add(await sandbox.account())
    made = (await put(service, other, premium)).json()
    path = f"/v1/resellers/{reseller['id']}/licenses"
    found = (await service.call("GET", f"{path}/{PREMIUM}")).json()
    mine = [one for one in found["suggestions"] if one["product"] == premium]
    assert [reason["kind"] for reason in mine[0]["reasons"]] == ["other_reseller"] * len(
        mine[0]["reasons"]
    )
    assert made["id"] in [reason["mapping_id"] for reason in mine[0]["reasons"]]
    assert found["suggestions_note"] is None
    await put(service, reseller, premium)
    again = (await service.call("GET", f"{path}/{PREMIUM}")).json()
    assert premium not in [one["product"] for one in again["suggestions"]]
    flow = "f30db892-07e9-47e9-837c-80727f46fd3d"
    nothing = (await service.call("GET", f"{path}/{flow}")).json()
    assert nothing["suggestions"] == []
    assert "names do not count" in nothing["suggestions_note"]
    assert (await service.call("GET", f"{path}/{uuid.uuid4()}")).status_code == 404


async def test_other_periods_of_a_mapped_product_are_suggested(
    service: Any, reseller: dict[str, Any], premium: dict[str, Any]
) -> None:
    year = {"type": "year", "duration": 1}
    monthly = {**premium, "mpn": "SIMVIS:0001", "subscription_period": year}
    visio = "c5928f49-12ba-48f7-ada3-0d743a3601d5"
    await put(service, reseller, monthly, sku_id=visio)
    found = await service.call("GET", f"/v1/resellers/{reseller['id']}/licenses/{visio}")
    offered = [one for one in found.json()["suggestions"] if one["product"]["mpn"] == "SIMVIS:0001"]
    assert [one["product"]["billing_period"] for one in offered] == [year]
    assert "same_mpn" in [reason["kind"] for reason in offered[0]["reasons"]]


async def test_while_the_marketplace_is_away_the_licence_says_so(
    service: Any, sandbox: Any
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    await sandbox.fault(account, route="GET /products", kind="status", status=503, times=9)
    found = await service.call("GET", f"/v1/resellers/{reseller['id']}/licenses/{PREMIUM}")
    assert found.json()["suggestions"] == []
    assert "cannot be read now" in found.json()["suggestions_note"]
