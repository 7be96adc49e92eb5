"""Own prices and the kept catalogue, as price admins and scripts use them."""

import json
from typing import Any

import pytest

from purser_common.testing import records

Json = dict[str, Any]
MONTH = {"type": "month", "duration": 1}
PREMIUM = {
    "mpn": "SIMBP:0001_P1M:M",
    "vendor": "SIMMICROSOFT",
    "subscription_period": MONTH,
    "billing_period": MONTH,
}
BACKUP, AZURE = PREMIUM | {"mpn": "SIMBAK:0001"}, PREMIUM | {"mpn": "SIMAZ:0001"}


class Desk:
    """The price desk of a reseller whose credentials show what it pays."""

    def __init__(self, system: Any) -> None:
        self.system = system
        self.shop = system.seller(kind="leaf")
        self.path = f"/v1/resellers/{self.shop.reseller['id']}"
        self.plans = f"{self.path}/price-plans"

    def add(self, product: Json, *prices: Json, **more: Any) -> Any:
        body: Json = {"product": product}
        if prices:
            body["own_price"] = list(prices)
        return self.system.ask("POST", self.plans, body, **more)

    def change(self, plan: Json, body: Json | None, method: str = "PATCH", rest: str = "") -> Any:
        path = f"{self.plans}/{plan['id']}"
        headers = {"If-Match": self.system.call("GET", path).headers["etag"]}
        return self.system.ask(method, path + rest, body, headers=headers)

    def uniform(self, percent: str, *plans: Json) -> Any:
        body = {"plan_ids": [plan["id"] for plan in plans], "increase_percent": percent}
        return self.system.ask("POST", f"{self.plans}/uniform-price", body)

    def plan(self, plan: Json) -> Json:
        found: Json = self.system.get(f"{self.plans}/{plan['id']}")
        return found

    def market(self, **change: Any) -> None:
        """Change what the marketplace lists for this account, and what it costs."""
        path = f"/sandbox/logins/{self.shop.account['login']['id']}"
        self.system.sandbox.patch(path, json=change).raise_for_status()

    def look(self) -> Json:
        """Look at the marketplace's catalogue now; how that went."""
        self.system.get(f"{self.path}/products", refresh=True, limit=1)
        last: Json = self.system.get(f"{self.path}/catalogue-sync")["last"]
        return last


@pytest.fixture
def desk(system: Any) -> Desk:
    """A desk of the test's own."""
    return Desk(system)


def usd(amount: str, **more: Any) -> Json:
    return {"money": {"currency": "USD", "amount": amount}, **more}


def amounts(tiers: list[Json] | None) -> list[str] | None:
    return None if tiers is None else [tier["money"]["amount"] for tier in tiers]


@pytest.mark.requirement("R28.a", "R28.b", "R28.c", "R29.a", "R29.b", "R29.c", "R30.a")
def test_a_plan_is_added_once_for_a_product_and_priced(system: Any, desk: Desk) -> None:
    added = desk.add(PREMIUM, usd("29.9901"))
    assert added.status_code == 201, added.text
    plan = added.json()
    assert plan["product"] == PREMIUM
    assert (amounts(plan["own_price"]), amounts(plan["reseller_price"])) == (["29.9901"], ["22.48"])
    assert amounts(plan["difference"]) == ["7.5101"]
    again = desk.add(PREMIUM, usd("31"))
    assert (again.status_code, again.json()["code"]) == (409, "plan_exists")
    assert again.json()["plan_id"] == plan["id"]
    unsold = desk.add(PREMIUM | {"billing_period": {"type": "year", "duration": 1}})
    assert (unsold.status_code, unsold.json()["code"]) == (422, "unknown_product")
    assert system.get(desk.plans)["items"] == [plan]
    role = {"principal": "group:purser-viewer", "role": "viewer", "scope": "all"}
    system.ask("POST", "/v1/role-assignments", role)
    viewer = {"Authorization": f"Bearer {system.token('viewer')}"}
    shown = system.call("GET", desk.plans, headers=viewer).json()["items"]
    hidden = {"reseller_price": None, "seen_reseller_price": None, "difference": None}
    assert shown == [plan | hidden]
    refused = desk.add(BACKUP, headers=viewer)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


@pytest.mark.requirement("R30.b", "R30.c", "R30.d", "R30.e", "R29.d")
def test_a_price_is_refused_changed_and_given_up_and_its_history_kept(
    system: Any, desk: Desk
) -> None:
    plan = desk.add(PREMIUM, usd("30")).json()
    euro = {"money": {"currency": "EUR", "amount": "30"}}
    for price, code, pointer in (
        (euro, "currency_differs", "/own_price/0/money/currency"),
        (usd("-1"), "invalid", "/own_price/0/money/amount"),
        (usd("1.00001"), "invalid", "/own_price/0/money/amount"),
    ):
        refused = desk.change(plan, {"own_price": [price]})
        assert (refused.status_code, refused.json()["code"]) == (422, code)
        assert refused.json()["errors"][0]["pointer"] == pointer
    flat = desk.add(BACKUP, usd("2.50"))
    assert (flat.status_code, flat.json()["code"]) == (422, "tiers_differ")
    tiers = (usd("2.50", lower_limit=1), usd("2.2", lower_limit=50))
    assert amounts(desk.add(BACKUP, *tiers).json()["own_price"]) == ["2.50", "2.2"]
    assert desk.change(plan, {"own_price": [usd("31")]}).status_code == 200
    unsure = desk.change(plan, None, "DELETE")
    assert (unsure.status_code, unsure.json()["code"]) == (422, "confirmation_required")
    history = system.get(f"{desk.plans}/{plan['id']}/history")["items"]
    assert [(amounts(e["before"]), amounts(e["after"])) for e in history] == [
        (["30"], ["31"]),
        (None, ["30"]),
    ]
    assert all(entry["actor"].startswith("user:") and entry["at"] for entry in history)
    gone = desk.change(plan, None, "DELETE", "?confirm=true")
    assert (gone.status_code, gone.json()["own_price"]) == (200, None)
    assert [one["product"] for one in system.get(desk.plans)["items"]] == [BACKUP]


@pytest.mark.requirement("R31.a", "R31.b", "R31.c", "R31.d", "R32.a", "R32.b")
def test_a_uniform_price_is_what_the_reseller_pays_now_and_a_percentage(desk: Desk) -> None:
    premium = desk.add(PREMIUM, usd("99")).json()
    usage, backup = desk.add(AZURE).json(), desk.add(BACKUP).json()
    for _ in range(2):
        priced, refused = desk.uniform("10", premium, usage).json()["results"]
        assert amounts(priced["plan"]["own_price"]) == ["24.73"]
        assert (refused["status"], refused["reason"]) == ("refused", "baseline_unknown")
    desk.market(costs={PREMIUM["mpn"]: "20.05"})
    [priced] = desk.uniform("10", premium).json()["results"]
    assert amounts(priced["plan"]["own_price"]) == ["22.06"]
    assert desk.plan(backup) == backup
    [tiered] = desk.uniform("12.5", backup).json()["results"]
    assert amounts(tiered["plan"]["own_price"]) == ["2.36", "2.03"]
    nothing = desk.uniform("-100", premium, backup)
    assert (nothing.status_code, nothing.json()["code"]) == (422, "percentage_out_of_range")
    assert amounts(desk.plan(premium)["own_price"]) == ["22.06"]


@pytest.mark.requirement("R30.f", "R30.g")
def test_a_plan_is_marked_when_the_marketplace_changes_what_is_behind_it(
    system: Any, desk: Desk
) -> None:
    plan = desk.add(PREMIUM, usd("30")).json()
    desk.market(costs={PREMIUM["mpn"]: "25.00"})
    assert desk.look()["changed"] == 1
    marked = desk.plan(plan)
    assert marked["mark"] == "changed"
    assert amounts(marked["seen_reseller_price"]) == ["22.48"]
    assert amounts(marked["reseller_price"]) == ["25.00"]
    assert system.get(desk.plans, mark="changed")["items"] == [marked]
    assert desk.change(plan, {"acknowledge": True}).json()["mark"] is None
    desk.market(hidden=[PREMIUM["mpn"]])
    assert (desk.look()["missing"], desk.plan(plan)["mark"]) == (1, None)
    assert (desk.look()["vanished"], desk.plan(plan)["mark"]) == (1, "vanished")


@pytest.mark.requirement("R33.a", "R33.b")
async def test_an_own_price_is_published_and_is_the_price_of_a_purchase(
    system: Any, desk: Desk
) -> None:
    shop = desk.shop
    shop.register_tenant()
    shop.consent()
    shop.connect()
    shop.map_license()
    preview = {"tenant_id": shop.tenant["id"], "product": shop.product, "quantity": 5}
    before = system.call("POST", "/v1/purchase-previews", preview).json()["unit_price"]
    plan = desk.add(shop.product, usd("27.50")).json()
    after = system.call("POST", "/v1/purchase-previews", preview).json()["unit_price"]
    assert (before["amount"], after["amount"]) == ("23.42", "27.50")

    def ours(read: list[Any]) -> list[Json]:
        return [json.loads(one.value) for one in read if shop.reseller["id"].encode() == one.key]

    [fact] = ours(await records(system.kafka, "price.customized", until=ours, within=20))
    state = fact["data"]["state"]
    assert (state["id"], amounts(state["own_price"])) == (plan["id"], ["27.50"])
    assert state["effective_from"] == plan["effective_from"]
    assert "22.48" not in json.dumps(fact)


def test_the_last_known_catalogue_is_answered_while_the_marketplace_is_broken(
    system: Any, desk: Desk
) -> None:
    path = f"{desk.path}/products"
    assert desk.look()["outcome"] == "complete"
    known = {item["id"] for item in system.get(path, limit=200)["items"]}
    login = desk.shop.account["login"]["id"]
    for fault, outcome, code in (
        ({"kind": "status", "status": 504, "family": "html"}, "failed", "marketplace_unavailable"),
        ({"kind": "empty_list"}, "empty", None),
        ({"kind": "missing_page"}, "empty", None),
        ({"kind": "bad_json"}, "failed", "marketplace_answer_unusable"),
        ({"kind": "rate_limit"}, "failed", "account_paused"),
    ):
        system.fault(route="GET /products", login_id=login, **fault)
        last = desk.look()
        assert (last["outcome"], last["code"], last["vanished"]) == (outcome, code, 0)
        items = system.get(path, limit=200)["items"]
        assert {item["id"] for item in items} == known
        assert {(item["stale"], item["listed"]) for item in items} == {(True, True)}
