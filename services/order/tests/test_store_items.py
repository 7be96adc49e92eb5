"""A tenant's store: the reseller's catalogue with what the tenant has of it and may do."""

import contextlib
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from examples import license_request
from fastapi import FastAPI, Request

from order_service import store
from order_service.domain import items as rules
from order_service.domain import purchase
from order_service.domain.items import Circumstances, StoreItem
from order_service.main import build
from order_service.settings import Settings
from purser_common import settings, testing
from purser_common.errors import NotFound, Unavailable
from purser_common.identity import InternalTokens
from purser_common.mongo import Database
from purser_common.outbox import Outbox
from purser_common.outbox import Request as KeyedRequest
from purser_common.telemetry import Cause
from purser_common.web import problems
from purser_events.envelope import Envelope, envelop
from purser_events.reseller import Reseller
from purser_events.subscription import Subscription, SubscriptionChanged, SubscriptionFact
from purser_events.tenant import Connection, Consent, Tenant, TenantConnected
from purser_events.values import ProductIdentity, product_id

NOW = datetime(2026, 2, 3, 12, tzinfo=UTC)
CAUSE = Cause("user:tester", "correlation-1")
MONTH, YEAR = {"type": "month", "duration": 1}, {"type": "year", "duration": 1}
BUYER = ("purchaser",)


def product(mpn: str = "BASE", term: dict[str, Any] = MONTH) -> dict[str, Any]:
    return {"mpn": mpn, "vendor": "V", "subscription_period": term, "billing_period": MONTH}


def tier(amount: str) -> dict[str, Any]:
    money = {"currency": "USD", "amount": amount}
    return {"type": "recurring", "model": "FLAT", "lower_limit": None, "money": money}


def reseller(id: str = "r1", **over: Any) -> Reseller:
    fields = {
        "id": id,
        "marketplace": "m",
        "display_name": "Contoso",
        "region": "us",
        "marketplace_reseller_id": "1",
        "marketplace_reseller_name": "Contoso",
        "account_kind": "parent",
        "buying_enabled": True,
        "credentials_set_at": NOW,
        "added_at": NOW,
    }
    return Reseller(**fields | over)


def item(reseller_id: str = "r1", mpn: str = "BASE", **over: Any) -> dict[str, Any]:
    """What the reseller service answers of a product."""
    wanted = product(mpn)
    id = product_id(reseller_id, ProductIdentity.model_validate(wanted))
    mapping = {
        "id": id,
        "marketplace": "m",
        "reseller_id": reseller_id,
        "product": wanted,
        "product_name": mpn,
        "sku_id": "cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46",
        "is_default": True,
    }
    return {
        "id": id,
        "reseller_id": reseller_id,
        "product": wanted,
        "name": mpn.title(),
        "service_name": "Service",
        "minimum_quantity": 1,
        "maximum_quantity": 300,
        "billing_model": "chargeBeforeBillingPeriod",
        "coterming": None,
        "requires": [{"id": None, "mpn": "NEEDED", "name": None}],
        "dependents": [{"id": "d1", "mpn": "ADDON", "name": "Add-on"}],
        "mapping": mapping,
        "listed": True,
        "source": "marketplace",
        "read_at": NOW.isoformat(),
        "stale": False,
        "prices": {
            "reseller": [tier("10.00")],
            "own": [tier("12.50")],
            "difference": [tier("2.50")],
            "mark": None,
        },
    } | over


def subscription(
    id: str,
    tenant: str = "t1",
    mpn: str = "BASE",
    status: str = "active",
    seats: int = 5,
    reseller_id: str = "r1",
) -> Subscription:
    return Subscription.model_validate(
        {
            "id": id,
            "marketplace": "m",
            "reseller_id": reseller_id,
            "customer_id": "c1",
            "tenant_id": tenant,
            "entra_tenant_id": "e1",
            "marketplace_customer_id": "100",
            "marketplace_subscription_id": id,
            "name": f"Subscription {id}",
            "status": status,
            "options": [{"product": product(mpn), "name": mpn, "quantity": seats}],
            "observed_at": NOW,
        }
    )


def told(state: Subscription, sequence: int = 1) -> Envelope[SubscriptionFact]:
    envelope: Any = envelop(
        SubscriptionChanged(state=state),
        source="purser/subscription",
        subject=f"subscription/{state.id}",
        sequence=sequence,
        time=NOW,
        actor="service:subscription",
        correlation_id="correlation-1",
    )
    return envelope


# -- what may be done ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("over", "buying", "may", "holder", "reason"),
    [
        ({}, True, True, None, None),
        ({}, True, False, None, "forbidden"),
        ({}, False, True, None, "buying_disabled"),
        ({"mapping": None}, True, True, None, "license_not_mapped"),
        ({"listed": False}, True, True, None, "unknown_product"),
        ({}, True, True, "q1", "purchase_in_progress"),
        ({"mapping": None}, False, True, "q1", "buying_disabled"),
    ],
)
def test_what_stands_in_the_way_of_buying_is_named_as_a_purchase_would_name_it(
    over: dict[str, Any], buying: bool, may: bool, holder: str | None, reason: str | None
) -> None:
    shown = StoreItem.model_validate(item(**over))
    found = rules.buying(shown, Circumstances(reseller(buying_enabled=buying), may, holder))
    assert (found.allowed, found.reason) == (reason is None, reason)
    assert found.request_id == ("q1" if reason == "purchase_in_progress" else None)
    assert (found.missing_step is not None) == (reason in ("buying_disabled", "license_not_mapped"))


def test_own_subscriptions_are_of_the_very_product_and_linked_ones_of_the_part_number() -> None:
    monthly, yearly = subscription("s1"), subscription("s2")
    option = yearly.options[0].model_copy(
        update={"product": ProductIdentity.model_validate(product(term=YEAR))}
    )
    yearly = yearly.model_copy(update={"options": (option,)})
    of = ProductIdentity.model_validate(product())
    assert [one.id for one in rules.own_subscriptions(of, [monthly, yearly])] == ["s1"]
    assert [one.id for one in rules.own_by_mpn("BASE", [monthly, yearly])] == ["s1", "s2"]
    assert rules.own_by_mpn(None, [monthly]) == ()


# -- the copy of subscriptions ---------------------------------------------------------------------


async def test_the_copy_follows_the_facts_and_forgets_what_has_ended(database: Database) -> None:
    copies = store.SubscriptionCopies(database)

    async def of(*mpns: str) -> list[tuple[str, int]]:
        found = await copies.of_products("t1", mpns)
        return [(one.id, one.options[0].quantity) for one in found]

    await copies.keep([told(subscription("s1", seats=7), 2), told(subscription("s2", mpn="ADDON"))])
    await copies.keep([told(subscription("s1"), 1), told(subscription("s3", tenant="t2"))])
    assert await of("BASE") == [("s1", 7)]
    assert await of("BASE", "ADDON") == [("s1", 7), ("s2", 5)]
    await copies.keep([told(subscription("s1", status="removed"), 3)])
    await copies.keep([told(subscription("s2", mpn="ADDON", status="odd"), 2)])
    assert await of("BASE", "ADDON") == [("s2", 5)]


# -- over HTTP -------------------------------------------------------------------------------------


class Peers:
    """A reseller service and a tenant-connection service as small as can be."""

    def __init__(self, resellers: InternalTokens, tenants: InternalTokens) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.resellers: dict[str, Reseller] = {}
        self.tenants: dict[str, Tenant] = {}
        self.away: set[str] = set()
        self.asked: list[dict[str, str]] = []
        self._tokens = {"reseller": resellers, "tenant-connection": tenants}
        self.reseller, self.tenant_connection = FastAPI(), FastAPI()
        for app in (self.reseller, self.tenant_connection):
            problems.install(app)
        self.reseller.get("/internal/resellers/{id}")(self._reseller)
        self.reseller.get("/internal/resellers/{id}/store-items")(self._items)
        self.reseller.get("/internal/resellers/{id}/store-items/{item_id}")(self._item)
        self.reseller.get("/internal/resellers/{id}/purchase-terms")(self._terms)
        self.reseller.post("/internal/marketplace/{id}/orders/estimate")(self._estimate)
        self.tenant_connection.get("/internal/tenants/{id}")(self._tenant)

    def shop(self, **over: Any) -> tuple[str, str]:
        """A connected tenant with the only product of its reseller: both ids."""
        reseller_id, tenant_id = (f"{kind}-{uuid.uuid4().hex[:12]}" for kind in ("r", "t"))
        self.resellers[reseller_id] = reseller(reseller_id)
        connection = Connection(
            marketplace="m",
            reseller_id=reseller_id,
            marketplace_customer_id="100",
            marketplace_customer_name="Northwind",
            connected_at=NOW,
        )
        self.tenants[tenant_id] = Tenant(
            id=tenant_id,
            customer_id=f"customer-of-{tenant_id}",
            entra_tenant_id="e1",
            name="Head office",
            domain="northwind.example",
            consent=Consent(status="granted"),
            marketplaces=("m",),
            connection=connection,
            registered_at=NOW,
        )
        sold = item(reseller_id, **over)
        self.items[sold["id"]] = sold
        return tenant_id, sold["id"]

    def _verify(self, name: str, request: Request) -> None:
        caller = self._tokens[name].verify(request.headers["authorization"][7:])
        assert caller.service == "order"
        if name in self.away:
            raise Unavailable("planted")

    async def _reseller(self, id: str, request: Request) -> Any:
        self._verify("reseller", request)
        return self.resellers[id].model_dump(mode="json")

    async def _items(self, id: str, request: Request) -> Any:
        self._verify("reseller", request)
        self.asked.append(dict(request.query_params))
        found = [one for one in self.items.values() if one["reseller_id"] == id]
        return {"items": found, "next": "more"}

    async def _item(self, id: str, item_id: str, request: Request) -> Any:
        self._verify("reseller", request)
        self.asked.append(dict(request.query_params))
        if self.items.get(item_id, {}).get("reseller_id") != id:
            raise NotFound("the catalogue has no such product")
        return self.items[item_id]

    async def _terms(self, id: str, mpn: str, request: Request) -> Any:
        self._verify("reseller", request)
        sold = next(one for one in self.items.values() if one["reseller_id"] == id)
        shown = {
            "name": sold["name"],
            "minimum_quantity": sold["minimum_quantity"],
            "maximum_quantity": sold["maximum_quantity"],
            "unit_price": None,
        }
        state = self.resellers[id].model_dump(mode="json")
        return {"reseller": state, "mapping": sold["mapping"], "product": shown}

    async def _estimate(self, id: str, request: Request) -> Any:
        self._verify("reseller", request)
        line = (await request.json())["products"][0]
        amount = f"{12.5 * line['quantity']:.2f}"
        return {"total": {"currency": "USD", "amount": amount}, "products": []}

    async def _tenant(self, id: str, request: Request) -> Any:
        self._verify("tenant-connection", request)
        if id not in self.tenants:
            raise NotFound("there is no such tenant")
        return {"state": self.tenants[id].model_dump(mode="json"), "closing": None}


@pytest.fixture(scope="module")
async def peers(keys: testing.Keys) -> Peers:
    return Peers(keys.tokens("reseller", "order"), keys.tokens("tenant-connection", "order"))


@pytest.fixture(scope="module")
async def order_mongo(servers: testing.Servers) -> AsyncIterator[settings.Mongo]:
    async with servers.fresh_database() as config:
        yield config


@pytest.fixture(scope="module")
async def service(
    order_mongo: settings.Mongo, provisioned: settings.Kafka, keys: testing.Keys, peers: Peers
) -> AsyncIterator[testing.Service]:
    async with contextlib.AsyncExitStack() as stack:
        fields: dict[str, Any] = {
            "environment": "test",
            "role": "api",
            "http": {"port": 0},
            "mongo": order_mongo,
            "kafka": provisioned,
            "identity": keys.identity("order"),
            "reseller_url": await stack.enter_async_context(testing.serving(peers.reseller)),
            "tenant_connection_url": await stack.enter_async_context(
                testing.serving(peers.tenant_connection)
            ),
            "subscription_url": "http://127.0.0.1:9",
        }
        http = await stack.enter_async_context(testing.started(build(Settings(**fields))))
        yield testing.Service("order", http, keys)


@pytest.fixture
async def kept(order_mongo: settings.Mongo) -> AsyncIterator[Database]:
    """The service's database, to look at and to prepare."""
    async with testing.opened(order_mongo) as database:
        yield database


async def test_the_store_shows_what_the_tenant_has_of_each_product_and_may_do(
    service: testing.Service, peers: Peers, kept: Database
) -> None:
    tenant, id = peers.shop()
    copies = store.SubscriptionCopies(kept)
    mine = [("a", "BASE"), ("b", "NEEDED"), ("c", "ADDON")]
    at = peers.items[id]["reseller_id"]
    await copies.keep(
        [told(subscription(f"{n}-{tenant}", tenant, mpn, reseller_id=at)) for n, mpn in mine]
    )
    # what an earlier connection has left behind is nothing that this one can manage
    await copies.keep([told(subscription(f"left-{tenant}", tenant))])
    path = f"/v1/tenants/{tenant}/store-items"
    params = {"q": "base", "vendor": "V", "mapped": "true", "limit": "7"}
    listed = await service.call("GET", path, roles=BUYER, params=params)
    assert listed.status_code == 200, listed.text
    assert peers.asked[-1] == {**params, "costs": "false"}
    assert listed.json()["next"] == "more"
    shown = listed.json()["items"][0]
    assert [(one["id"], one["seats"]) for one in shown["subscriptions"]] == [(f"a-{tenant}", 5)]
    assert shown["requires"][0]["subscriptions"][0]["id"] == f"b-{tenant}"
    assert shown["dependents"][0]["subscriptions"][0]["id"] == f"c-{tenant}"
    assert (shown["dependents"][0]["id"], shown["requires"][0]["id"]) == ("d1", None)
    (buy,) = shown["actions"]
    assert (buy["action"], buy["allowed"], buy["reason"]) == ("buy", True, None)
    one = await service.call("GET", f"{path}/{id}", roles=BUYER)
    assert one.json() == shown
    assert (one.headers["purser-read-at"], "purser-stale" in one.headers) == (
        NOW.isoformat(),
        False,
    )


async def test_what_the_reseller_pays_is_for_its_price_admins(
    service: testing.Service, peers: Peers
) -> None:
    tenant, id = peers.shop()
    path = f"/v1/tenants/{tenant}/store-items"
    for roles, scope, sees in (
        (("viewer",), "all", False),
        (("price_admin",), "all", True),
        (("price_admin",), f"tenant/{tenant}", True),
        (("viewer", "purchaser"), f"tenant/{tenant}", False),
    ):
        one = await service.call("GET", f"{path}/{id}", roles=roles, scope=scope)
        assert peers.asked[-1]["costs"] == str(sees).lower()
        prices = one.json()["prices"]
        assert (prices["reseller"] is not None, prices["difference"] is not None) == (sees, sees)
        assert prices["own"][0]["money"]["amount"] == "12.50"


async def test_another_customers_tenant_and_an_unknown_product_do_not_exist(
    service: testing.Service, peers: Peers
) -> None:
    tenant, id = peers.shop()
    _, others = peers.shop()
    path = f"/v1/tenants/{tenant}/store-items"
    for suffix in ("", f"/{id}"):
        foreign = await service.call("GET", path + suffix, roles=BUYER, scope="tenant/other")
        assert foreign.status_code == 404
        nobody = await service.call("GET", path.replace(tenant, "nobody") + suffix, roles=BUYER)
        assert nobody.status_code == 404
    assert (await service.call("GET", f"{path}/{others}", roles=BUYER)).status_code == 404


async def test_without_a_connection_the_missing_step_is_named(
    service: testing.Service, peers: Peers
) -> None:
    tenant, id = peers.shop()
    peers.tenants[tenant] = peers.tenants[tenant].model_copy(update={"connection": None})
    path = f"/v1/tenants/{tenant}/store-items"
    for suffix in ("", f"/{id}"):
        refused = await service.call("GET", path + suffix, roles=BUYER)
        assert (refused.status_code, refused.json()["code"]) == (409, "tenant_not_connected")
        assert refused.json()["missing_step"] == f"PUT /v1/tenants/{tenant}/connection"
    peers.tenants[tenant] = peers.tenants[tenant].model_copy(update={"status": "removed"})
    gone = await service.call("GET", f"{path}/{id}", roles=BUYER)
    assert (gone.status_code, gone.json()["code"]) == (409, "tenant_removed")


async def test_known_data_is_marked_and_without_the_reseller_service_there_is_none(
    service: testing.Service, peers: Peers
) -> None:
    tenant, id = peers.shop(stale=True)
    path = f"/v1/tenants/{tenant}/store-items"
    one = await service.call("GET", f"{path}/{id}", roles=BUYER)
    assert (one.json()["stale"], one.headers["purser-stale"]) == (True, "true")
    peers.away.add("reseller")
    try:
        for suffix in ("", f"/{id}"):
            away = await service.call("GET", path + suffix, roles=BUYER)
            assert (away.status_code, away.json()["code"]) == (503, "reseller_unavailable")
            assert away.headers["retry-after"]
    finally:
        peers.away.clear()


async def test_while_the_tenants_owner_is_away_the_own_copy_will_do(
    service: testing.Service, peers: Peers, kept: Database
) -> None:
    tenant, id = peers.shop()
    path = f"/v1/tenants/{tenant}/store-items/{id}"
    envelope: Any = envelop(
        TenantConnected(state=peers.tenants[tenant]),
        source="purser/tenant-connection",
        subject=f"tenant/{tenant}",
        sequence=3,
        time=NOW,
        actor="user:admin",
        correlation_id="correlation-1",
    )
    peers.away.add("tenant-connection")
    try:
        assert (await service.call("GET", path, roles=BUYER)).status_code == 503
        await store.Connections(kept).keep([envelope])
        assert (await service.call("GET", path, roles=BUYER)).status_code == 200
        foreign = await service.call("GET", path, roles=BUYER, scope="tenant/other")
        assert foreign.status_code == 404
    finally:
        peers.away.clear()


async def test_an_open_purchase_is_named_as_what_is_in_the_way(
    service: testing.Service, peers: Peers, kept: Database, outbox: Outbox
) -> None:
    tenant, id = peers.shop()
    wanted = ProductIdentity.model_validate(product())
    request = license_request(id=str(uuid.uuid4()), tenant_id=tenant, product=wanted)
    open_one, facts = purchase.requested(request, "correlation-1", None, NOW)
    key = KeyedRequest("user:tester", "buy", request.id, request.id)
    await store.Requests(kept, outbox).insert(open_one, facts, CAUSE, key)
    shown = (
        await service.call("GET", f"/v1/tenants/{tenant}/store-items/{id}", roles=BUYER)
    ).json()
    (buy,) = shown["actions"]
    assert (buy["reason"], buy["request_id"]) == ("purchase_in_progress", request.id)


async def test_a_preview_asks_the_marketplace_for_the_price_of_so_many(
    service: testing.Service, peers: Peers
) -> None:
    tenant, id = peers.shop()
    path = f"/v1/tenants/{tenant}/store-items/{id}/previews"
    seen = await service.call("POST", path, roles=BUYER, json={"quantity": 4})
    assert seen.status_code == 200, seen.text
    assert seen.json()["total"] == {"currency": "USD", "amount": "50.00"}
    assert seen.headers["purser-subject"] == f"store-item/{id}"
    for quantity in (0, 301, "4", 1.5):
        refused = await service.call("POST", path, roles=BUYER, json={"quantity": quantity})
        assert refused.status_code == 422
        assert [error["pointer"] for error in refused.json()["errors"]] == ["/quantity"]
    viewer = await service.call("POST", path, roles=("viewer",), json={"quantity": 4})
    assert viewer.status_code == 403


@pytest.mark.parametrize(
    ("params", "place"),
    [({"limit": 201}, "limit"), ({"mapped": "perhaps"}, "mapped"), ({"q": "x" * 201}, "q")],
)
async def test_a_filter_that_is_not_one_is_refused_by_name(
    service: testing.Service, peers: Peers, params: dict[str, Any], place: str
) -> None:
    tenant, _ = peers.shop()
    refused = await service.call(
        "GET", f"/v1/tenants/{tenant}/store-items", roles=BUYER, params=params
    )
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [f"#/query/{place}"]
