"""Price plans: own prices, the uniform price, marks, and who sees what of them."""

import json
import uuid
from typing import Any

import pytest

from purser_common.testing import records

Json = dict[str, Any]
BACKUP = {
    "mpn": "SIMBAK:0001",
    "vendor": "SIMMICROSOFT",
    "subscription_period": {"type": "month", "duration": 1},
    "billing_period": {"type": "month", "duration": 1},
}
AZURE = BACKUP | {"mpn": "SIMAZ:0001"}


def money(amount: str, currency: str = "USD") -> Json:
    return {"currency": currency, "amount": amount}


class Desk:
    """A reseller's price desk at a marketplace account of its own."""

    def __init__(self, service: Any, sandbox: Any, account: Json, reseller: Json) -> None:
        self.service, self.sandbox = service, sandbox
        self.account, self.reseller = account, reseller
        self.path = f"/v1/resellers/{reseller['id']}"
        self.plans = f"{self.path}/price-plans"

    async def add(self, product: Json, *amounts: str, **more: Any) -> Any:
        body: Json = {"product": product}
        if amounts:
            body["own_price"] = [{"money": money(amount)} for amount in amounts]
        return await self.service.call("POST", self.plans, json=body | more.pop("body", {}), **more)

    async def uniform(self, *ids: str, percent: str = "10", **more: Any) -> Any:
        body = {"plan_ids": list(ids), "increase_percent": percent}
        return await self.service.call("POST", f"{self.plans}/uniform-price", json=body, **more)

    async def get(self, rest: str, **options: Any) -> Any:
        answer = await self.service.call("GET", self.path + rest, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def patch(self, plan_id: str, body: Json, **options: Any) -> Any:
        path = f"{self.plans}/{plan_id}"
        if "etag" not in options:
            options["etag"] = (await self.service.call("GET", path)).headers["etag"]
        return await self.service.call("PATCH", path, json=body, **options)

    async def look(self) -> None:
        await self.get("/products?refresh=true&limit=1")

    async def catalogue(self, **change: Any) -> None:
        """Change what the marketplace lists for this account."""
        await self.sandbox.ask("PATCH", f"/logins/{self.account['login']['id']}", json=change)

    async def terms(self, product: Json) -> Json:
        subscribed, billed = product["subscription_period"], product["billing_period"]
        params = {
            "mpn": product["mpn"],
            "vendor": product["vendor"],
            "subscription_type": subscribed["type"],
            "subscription_duration": subscribed["duration"],
            "billing_type": billed["type"],
            "billing_duration": billed["duration"],
        }
        path = f"/internal/resellers/{self.reseller['id']}/purchase-terms"
        found: Json = (await self.service.call("GET", path, peer="order", params=params)).json()
        return found


@pytest.fixture
async def desk(service: Any, sandbox: Any) -> Desk:
    account = await sandbox.account(kind="leaf")
    return Desk(service, sandbox, account, await service.add(account))


def amounts(tiers: list[Json] | None) -> list[str] | None:
    return None if tiers is None else [tier["money"]["amount"] for tier in tiers]


async def test_an_own_price_is_what_customers_pay_from_then_on(desk: Desk, premium: Json) -> None:
    before = await desk.terms(premium)
    assert before["product"]["unit_price"] == money("26.76")
    added = await desk.add(premium, "29.9")
    assert added.status_code == 201, added.text
    plan = added.json()
    assert added.headers["location"] == f"{desk.plans}/{plan['id']}"
    assert added.headers["purser-subject"] == f"price-plan/{plan['id']}"
    [own] = plan["own_price"]
    assert own == {"type": "recurring", "model": "FLAT", "lower_limit": 0, "money": money("29.9")}
    assert (amounts(plan["reseller_price"]), amounts(plan["difference"])) == (["22.48"], ["7.42"])
    assert plan["set_by"] == "user:tester"
    assert (await desk.terms(premium))["product"]["unit_price"] == money("29.9")
    path = f"/internal/resellers/{desk.reseller['id']}/store-items/{plan['id']}?costs=true"
    shown = (await desk.service.call("GET", path, peer="order")).json()["prices"]
    assert (amounts(shown["own"]), amounts(shown["difference"])) == (["29.9"], ["7.42"])
    path = f"{desk.plans}/{plan['id']}"
    for url, status in ((path, 422), (f"{path}?confirm=true", 200)):
        gone = await desk.service.call("DELETE", url, etag=added.headers["etag"])
        assert gone.status_code == status
    assert (gone.json()["status"], gone.json()["own_price"]) == ("deleted", None)
    assert (await desk.service.call("GET", path)).status_code == 404
    assert (await desk.terms(premium))["product"]["unit_price"] == money("26.76")


async def test_a_product_has_one_plan_and_the_refusal_names_it(desk: Desk, premium: Json) -> None:
    key = uuid.uuid4().hex
    first = await desk.add(premium, "30", key=key, digest="a")
    assert (await desk.add(premium, "30", key=key, digest="a")).json() == first.json()
    second = await desk.add(premium, "31")
    assert (second.status_code, second.json()["code"]) == (409, "plan_exists")
    assert second.json()["plan_id"] == first.json()["id"]
    yearly = premium | {"mpn": "SIMBP:0001_P1Y:M"}
    yearly["subscription_period"] = {"type": "year", "duration": 1}
    assert (await desk.add(yearly)).status_code == 201
    pages = [await desk.get("/price-plans?limit=1")]
    pages.append(await desk.get(f"/price-plans?limit=1&cursor={pages[0]['next']}"))
    assert len({page["items"][0]["id"] for page in pages}) == 2
    assert pages[1]["next"] is None


@pytest.mark.parametrize(
    ("price", "pointer", "code"),
    [
        ({"currency": "EUR", "amount": "30"}, "/own_price/0/money/currency", "currency_differs"),
        ({"currency": "USD", "amount": "-1"}, "/own_price/0/money/amount", None),
        ({"currency": "USD", "amount": "1.00001"}, "/own_price/0/money/amount", None),
        ({"currency": "USD", "amount": "1e3"}, "/own_price/0/money/amount", None),
        ({"currency": "USD", "amount": 30.1}, "/own_price/0/money/amount", None),
        ({"currency": "USD", "amount": "9999999999999"}, "/own_price/0/money/amount", None),
        ({"currency": "usd", "amount": "1"}, "/own_price/0/money/currency", None),
    ],
)
async def test_a_price_that_makes_no_sense_is_refused(
    desk: Desk, premium: Json, price: Json, pointer: str, code: str | None
) -> None:
    answer = await desk.add(premium, body={"own_price": [{"money": price}]})
    assert answer.status_code == 422, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert code in (None, answer.json()["code"])
    assert (await desk.get("/price-plans"))["items"] == []


async def test_tiers_are_those_of_the_product(desk: Desk) -> None:
    flat = await desk.add(BACKUP, "2.50")
    assert (flat.status_code, flat.json()["code"]) == (422, "tiers_differ")
    tiers = [{"lower_limit": n, "money": money(a)} for n, a in ((1, "2.50"), (50, "2.2"))]
    plan = (await desk.add(BACKUP, body={"own_price": tiers})).json()
    assert amounts(plan["own_price"]) == ["2.50", "2.2"]
    assert amounts(plan["difference"]) == ["0.40", "0.40"]
    [applied] = (await desk.uniform(plan["id"], percent="12.5")).json()["results"]
    assert amounts(applied["plan"]["own_price"]) == ["2.36", "2.03"]
    assert {tier["model"] for tier in applied["plan"]["own_price"]} == {"VOLUME_SUBSCRIPTION"}


async def test_a_uniform_price_comes_from_the_reseller_price_of_now_for_the_selected_only(
    desk: Desk, premium: Json
) -> None:
    own = (await desk.add(premium, "99")).json()
    other = (await desk.add(BACKUP)).json()
    usage = (await desk.add(AZURE)).json()
    answer = await desk.uniform(own["id"], usage["id"], "nothing")
    assert answer.status_code == 200, answer.text
    first, second, third = answer.json()["results"]
    assert (first["status"], amounts(first["plan"]["own_price"])) == ("set", ["24.73"])
    assert (second["status"], second["reason"]) == ("refused", "baseline_unknown")
    assert "zero" in second["detail"]
    assert third["reason"] == "not_found"
    again = (await desk.uniform(own["id"])).json()["results"][0]
    assert amounts(again["plan"]["own_price"]) == ["24.73"]
    await desk.catalogue(costs={premium["mpn"]: "20.00"})
    [now] = (await desk.uniform(own["id"])).json()["results"]
    assert amounts(now["plan"]["own_price"]) == ["22.00"]
    assert amounts(now["plan"]["reseller_price"]) == ["20.00"]
    untouched = await desk.get(f"/price-plans/{other['id']}")
    assert untouched == other
    await desk.catalogue(hidden=[premium["mpn"]])
    [gone] = (await desk.uniform(own["id"])).json()["results"]
    assert gone["reason"] == "baseline_unknown"


async def test_a_repeated_uniform_price_does_nothing_again(desk: Desk, premium: Json) -> None:
    plan = (await desk.add(premium)).json()
    key = uuid.uuid4().hex
    [once] = (await desk.uniform(plan["id"], key=key, digest="a")).json()["results"]
    await desk.catalogue(costs={premium["mpn"]: "20.00"})
    [twice] = (await desk.uniform(plan["id"], key=key, digest="a")).json()["results"]
    assert amounts(twice["plan"]["own_price"]) == amounts(once["plan"]["own_price"])
    assert len((await desk.get(f"/price-plans/{plan['id']}/history"))["items"]) == 1


@pytest.mark.parametrize(
    "percent", ["-100", "-100.5", "ten", "1e1", "NaN", "1.00001", "", "123456", 10]
)
async def test_a_percentage_that_makes_no_sense_is_refused(
    desk: Desk, premium: Json, percent: Any
) -> None:
    plan = (await desk.add(premium, "30")).json()
    answer = await desk.uniform(plan["id"], percent=percent)
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/increase_percent"]
    assert amounts((await desk.get(f"/price-plans/{plan['id']}"))["own_price"]) == ["30"]


async def test_with_a_parents_credentials_there_is_no_baseline(
    service: Any, sandbox: Any, premium: Json
) -> None:
    account = await sandbox.account()
    desk = Desk(service, sandbox, account, await service.add(account))
    plan = (await desk.add(premium, "30")).json()
    assert (plan["reseller_price"], plan["difference"], plan["mark"]) == (None, None, None)
    [refused] = (await desk.uniform(plan["id"])).json()["results"]
    assert refused["reason"] == "baseline_unknown"
    assert amounts((await desk.get(f"/price-plans/{plan['id']}"))["own_price"]) == ["30"]


async def test_while_the_marketplace_is_away_there_is_no_baseline_either(
    desk: Desk, premium: Json
) -> None:
    plan = (await desk.add(premium, "30")).json()
    await desk.sandbox.fault(
        desk.account, route="GET /products", kind="status", status=503, times=None
    )
    [refused] = (await desk.uniform(plan["id"])).json()["results"]
    assert (refused["status"], refused["reason"]) == ("refused", "baseline_unknown")


async def test_who_changed_the_price_and_when_is_kept(desk: Desk, premium: Json) -> None:
    plan = (await desk.add(premium, "30")).json()
    body = {"own_price": [{"money": money("31")}]}
    changed = await desk.patch(plan["id"], body)
    assert changed.status_code == 200, changed.text
    stale = await desk.patch(plan["id"], body, etag='"1"')
    assert stale.status_code == 412
    await desk.uniform(plan["id"])
    removed = await desk.patch(plan["id"], {"own_price": None})
    assert removed.json()["own_price"] is None
    path = f"/price-plans/{plan['id']}/history"
    entries = (await desk.get(path))["items"]
    assert [entry["reason"] for entry in entries] == ["removed", "uniform", "set", "added"]
    assert [amounts(entry["after"]) for entry in entries] == [None, ["24.73"], ["31"], ["30"]]
    assert [amounts(entry["before"]) for entry in entries] == [["24.73"], ["31"], ["30"], None]
    assert {entry["actor"] for entry in entries} == {"user:tester"}
    page = await desk.get(f"{path}?limit=3")
    rest = await desk.get(f"{path}?limit=3&cursor={page['next']}")
    assert page["items"] + rest["items"] == entries
    assert (rest["next"], entries[1]["increase_percent"]) == (None, "10")
    seen = await desk.get(path, roles=("viewer",))
    assert {entry["increase_percent"] for entry in seen["items"]} == {None}
    nothing = await desk.patch(plan["id"], {})
    assert nothing.status_code == 422


async def test_a_plan_is_marked_when_the_price_behind_it_changes_until_somebody_looks(
    desk: Desk, premium: Json
) -> None:
    plan = (await desk.add(premium, "30")).json()
    path = f"/price-plans/{plan['id']}"
    await desk.catalogue(costs={premium["mpn"]: "25.00"})
    await desk.look()
    marked = await desk.get(path)
    assert marked["mark"] == "changed"
    assert amounts(marked["seen_reseller_price"]) == ["22.48"]
    assert amounts(marked["reseller_price"]) == ["25.00"]
    assert [one["id"] for one in (await desk.get("/price-plans?mark=changed"))["items"]] == [
        plan["id"]
    ]
    assert (await desk.get("/price-plans?mark=vanished"))["items"] == []
    looked = (await desk.patch(plan["id"], {"acknowledge": True})).json()
    assert (looked["mark"], amounts(looked["own_price"])) == (None, ["30"])
    await desk.catalogue(hidden=[premium["mpn"]])
    await desk.look()
    assert (await desk.get(path))["mark"] is None
    await desk.look()
    vanished = await desk.get(path)
    assert (vanished["mark"], vanished["listed"]) == ("vanished", False)
    await desk.catalogue(hidden=[])
    await desk.look()
    assert (await desk.get(path))["mark"] is None


async def test_plans_are_made_by_price_admins_and_costs_are_shown_to_them_alone(
    desk: Desk, premium: Json
) -> None:
    refused = await desk.add(premium, "30", roles=("purchaser",))
    assert refused.status_code == 403
    plan = (await desk.add(premium, "30")).json()
    for answer in (
        await desk.uniform(plan["id"], roles=("credential_admin",)),
        await desk.patch(plan["id"], {"acknowledge": True}, roles=("viewer",)),
        await desk.service.call(
            "DELETE", f"{desk.plans}/{plan['id']}?confirm=true", etag='"1"', roles=("viewer",)
        ),
    ):
        assert answer.status_code == 403
    hidden = {"reseller_price": None, "seen_reseller_price": None, "difference": None}
    viewer = ("viewer",)
    seen = await desk.get(f"/price-plans/{plan['id']}", roles=viewer)
    assert seen == plan | hidden
    assert (await desk.get("/price-plans", roles=viewer))["items"] == [plan | hidden]
    elsewhere = await desk.service.call("GET", f"/v1/resellers/other/price-plans/{plan['id']}")
    assert elsewhere.status_code == 404


async def test_the_facts_tell_the_own_price_and_never_what_the_reseller_pays(
    desk: Desk, premium: Json, deployment: Any
) -> None:
    plan = (await desk.add(premium, "30")).json()
    await desk.catalogue(costs={premium["mpn"]: "25.17"})
    await desk.look()
    await desk.uniform(plan["id"], percent="20")

    def ours(read: list[Any]) -> list[Json]:
        found = [json.loads(one.value) for one in read if plan["id"].encode() in one.value]
        return found if len(found) == 3 else []

    found = ours(await records(deployment.kafka, "price.customized", until=ours))
    states = [one["data"]["state"] for one in found]
    assert [(one.get("mark"), amounts(one["own_price"])) for one in states] == [
        (None, ["30"]),
        ("changed", ["30"]),
        (None, ["30.20"]),
    ]
    assert found[1]["actor"] == "service:reseller"
    assert all("25.17" not in str(one) and "22.48" not in str(one) for one in found)
    assert {one["subject"] for one in found} == {f"price-plan/{plan['id']}"}
