"""Lists and overviews of the gateway's own model: scopes, filters, pages, age."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
LISTS = {
    "customer.added": "/v1/customers",
    "tenant.registered": "/v1/tenants",
    "license.change-requested": "/v1/license-change-requests",
}
TIMES = {
    "customer.added": "added_at",
    "tenant.registered": "registered_at",
    "license.change-requested": "requested_at",
}


def new() -> str:
    return uuid.uuid4().hex


def when(number: int) -> str:
    return (START + timedelta(minutes=number)).isoformat()


async def listed(public: Any, path: str, *, limit: int = 2, **options: Any) -> list[str]:
    """The ids of a whole list, page by page."""
    ids: list[str] = []
    more = "&" if "?" in path else "?"
    cursor = ""
    while True:
        answer = await public.call("GET", f"{path}{more}limit={limit}{cursor}", **options)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert not {item["id"] for item in page["items"]} & set(ids)
        assert len(page["items"]) <= limit
        assert datetime.fromisoformat(page["as_of"]) <= datetime.now(UTC)
        ids += [item["id"] for item in page["items"]]
        if page["next"] is None:
            return ids
        cursor = f"&cursor={page['next']}"


async def test_resellers_go_by_name_whatever_its_case_and_any_role_sees_all(
    public: Any, known: Any
) -> None:
    mark = new()
    names = ("b Cloud", "A cloud", "a Bay", "B bay")
    ids = {name: new() for name in names}
    for name in names:
        await known.put("reseller.added", ids[name], display_name=f"{mark} {name}")
    gone = new()
    await known.put("reseller.added", gone, display_name=f"{mark} aa", status="deleted")
    viewer = await public.grant("viewer", f"tenant/{new()}")
    seen = await listed(public, "/v1/resellers", user=viewer)
    expected = [ids[name] for name in ("a Bay", "A cloud", "B bay", "b Cloud")]
    assert [id for id in seen if id in ids.values()] == expected
    assert gone not in seen
    refused = await public.call("GET", "/v1/resellers", user=new())
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("topic", LISTS)
async def test_a_list_is_newest_first_page_by_page_and_leaves_out_what_is_gone(
    public: Any, known: Any, topic: str
) -> None:
    owner = new()
    ids = [new() for _ in range(5)]
    for number, id in enumerate(ids):
        fields = {"customer_id": owner, TIMES[topic]: when(number)}
        if topic == "customer.added":
            del fields["customer_id"]
        await known.put(topic, id, **fields)
    scopes = (
        [f"customer/{id}" for id in ids] if topic == "customer.added" else [f"customer/{owner}"]
    )
    user = new()
    for scope in scopes:
        await public.grant("viewer", scope, f"user:{user}")
    assert await listed(public, LISTS[topic], user=user) == ids[::-1]
    if topic != "license.change-requested":
        await known.put(topic, ids[2], 9, status="removed", **fields)
        left = [id for id in ids[::-1] if id != ids[2]]
        assert await listed(public, LISTS[topic], user=user) == left


async def test_a_page_stays_the_same_while_others_arrive(public: Any, known: Any) -> None:
    owner, path = new(), "/v1/tenants?limit=2"
    ids = [new() for _ in range(4)]
    for number, id in enumerate(ids):
        await known.put("tenant.registered", id, customer_id=owner, registered_at=when(number))
    path += f"&customer_id={owner}"
    first = (await public.call("GET", path)).json()
    await known.put("tenant.registered", new(), customer_id=owner, registered_at=when(9))
    await known.put(
        "tenant.added", ids[0], 2, customer_id=owner, registered_at=when(0), name="Renamed"
    )
    second = (await public.call("GET", f"{path}&cursor={first['next']}")).json()
    found = [item["id"] for item in first["items"] + second["items"]]
    assert found == ids[::-1]
    assert second["items"][-1]["name"] == "Renamed"


async def test_those_of_one_moment_are_each_listed_once(public: Any, known: Any) -> None:
    owner = new()
    ids = sorted(new() for _ in range(5))
    for id in ids:
        await known.put("tenant.registered", id, customer_id=owner, registered_at=when(0))
    assert await listed(public, f"/v1/tenants?customer_id={owner}") == ids[::-1]


async def test_every_scope_lists_its_own_and_nothing_else(public: Any, known: Any) -> None:
    mine, other, shared = new(), new(), new()
    for customer in (mine, other):
        await known.put("customer.added", customer)
    own = {"customer_id": mine, "tenant_id": f"t-{mine}"}
    foreign = {"customer_id": other, "tenant_id": f"t-{other}"}
    await known.put("tenant.registered", f"t-{mine}", customer_id=mine)
    await known.put("tenant.registered", f"t-{other}", customer_id=other)
    await known.put("tenant.registered", shared, customer_id=other)
    await known.put("license.change-requested", f"r-{mine}", **own)
    await known.put("license.change-requested", f"r-{other}", **foreign)
    by_customer = await public.grant("requester", f"customer/{mine}")
    by_tenant = await public.grant("viewer", f"tenant/{shared}")
    both = await public.grant("viewer", f"tenant/{shared}")
    await public.grant("viewer", f"customer/{mine}", f"user:{both}")
    expected = {
        by_customer: ({mine}, {f"t-{mine}"}, {f"r-{mine}"}),
        by_tenant: (set(), {shared}, set()),
        both: ({mine}, {f"t-{mine}", shared}, {f"r-{mine}"}),
        new(): (set(), set(), set()),
    }
    for user, (customers, tenants, requests) in expected.items():
        assert set(await listed(public, "/v1/customers", user=user)) == customers
        assert set(await listed(public, "/v1/tenants", limit=1, user=user)) == tenants
        assert set(await listed(public, LISTS["license.change-requested"], user=user)) == requests
    foreign_filter = f"/v1/tenants?customer_id={other}"
    assert await listed(public, foreign_filter, user=by_customer) == []
    assert await listed(public, foreign_filter, user=both) == [shared]


async def test_filters_must_all_hold_and_an_unknown_one_is_refused(public: Any, known: Any) -> None:
    customer, tenant = new(), new()
    whose = {"customer_id": customer, "tenant_id": tenant}
    placing, failed, elsewhere = (f"{name}-{tenant}" for name in ("placing", "failed", "other"))
    await known.put("license.change-requested", placing, **whose)
    await known.put("license.change-requested", failed, **whose, status="failed")
    await known.put("license.change-requested", elsewhere, **whose | {"tenant_id": new()})
    path = LISTS["license.change-requested"]
    for query, ids in (
        (f"tenant_id={tenant}", {placing, failed}),
        (f"tenant_id={tenant}&status=failed", {failed}),
        (f"customer_id={customer}", {placing, failed, elsewhere}),
        (f"customer_id={customer}&status=placing", {placing, elsewhere}),
        (f"customer_id={customer}&tenant_id={tenant}&status=placing", {placing}),
    ):
        assert set(await listed(public, f"{path}?{query}")) == ids, query
    for query, pointer in (("colour=red", "colour"), ("limit=201", "limit"), ("limit=0", "limit")):
        refused = await public.call("GET", f"{path}?{query}")
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
        assert refused.json()["errors"][0]["pointer"] == f"#/query/{pointer}"
    for cursor in ("bm90IG9uZQ", "WyJhIl0"):
        refused = await public.call("GET", f"{path}?cursor={cursor}")
        assert (refused.status_code, refused.json()["code"]) == (400, "malformed_cursor")


async def test_a_tenants_subscriptions_are_for_whom_it_belongs_to(public: Any, known: Any) -> None:
    mine, before, tenant = new(), new(), new()
    await known.put("tenant.registered", tenant, customer_id=mine)
    for number, (owner, status) in enumerate(
        ((before, "terminated"), (mine, "active"), (mine, "hold"))
    ):
        await known.put(
            "subscription.activated",
            f"s{number}-{tenant}",
            tenant_id=tenant,
            customer_id=owner,
            status=status,
            created_on=f"2026-03-0{number + 1}",
        )
    path = f"/v1/tenants/{tenant}/subscriptions"
    by_tenant = await public.grant("viewer", f"tenant/{tenant}")
    by_customer = await public.grant("viewer", f"customer/{mine}")
    of_before = await public.grant("viewer", f"customer/{before}")
    all_of_it = [f"s{number}-{tenant}" for number in (2, 1, 0)]
    assert await listed(public, path) == all_of_it
    assert await listed(public, path, user=by_tenant) == all_of_it
    assert await listed(public, path, user=by_customer) == all_of_it[:2]
    assert await listed(public, f"{path}?status=active", user=by_customer) == [f"s1-{tenant}"]
    for stranger in (of_before, new()):
        refused = await public.call("GET", path, user=stranger)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


async def test_what_an_earlier_connection_left_is_listed_when_asked_for_and_counted_nowhere(
    public: Any, known: Any
) -> None:
    mine, tenant = new(), new()
    whose = {"tenant_id": tenant, "customer_id": mine, "status": "active"}
    await known.put("tenant.registered", tenant, customer_id=mine)
    left = [f"{name}-{tenant}" for name in ("left", "kept")]
    for number, id in enumerate(left):
        day = f"2026-03-0{number + 1}"
        await known.put("subscription.activated", id, **whose, created_on=day)
    await known.put(
        "subscription.changed", left[0], 9, **whose, created_on="2026-03-01", connected=False
    )
    user = await public.grant("viewer", f"customer/{mine}")
    path = f"/v1/tenants/{tenant}/subscriptions"
    for query in ("", "?status=active"):
        assert await listed(public, f"{path}{query}", user=user) == [left[1]]
    for query in ("?former=true", "?former=true&status=active"):
        assert await listed(public, f"{path}{query}", user=user) == left[::-1]
    for page in ("/v1/overview", f"/v1/tenants/{tenant}/overview"):
        shown = (await public.call("GET", page, user=user)).json()
        assert [one["id"] for one in shown["subscriptions"]] == [left[1]]
        (seats,) = shown["seats"].values()
        assert seats == shown["subscriptions"][0]["options"][0]["quantity"]


async def test_findings_are_listed_and_the_overview_has_those_that_are_open(
    public: Any, known: Any
) -> None:
    mine = new()
    ids = [new() for _ in range(3)]
    for number, id in enumerate(ids):
        whose = {"customer_id": mine, "opened_at": when(number)}
        await known.put("finding.opened", id, **whose, tenant_id=f"t{number}-{mine}")
    await known.put(
        "finding.closed", ids[1], 9, customer_id=mine, opened_at=when(1), status="closed"
    )
    user = await public.grant("viewer", f"customer/{mine}")
    assert await listed(public, "/v1/findings", user=user) == ids[::-1]
    assert await listed(public, "/v1/findings?status=open", user=user) == [ids[2], ids[0]]
    assert await listed(public, f"/v1/findings?tenant_id=t0-{mine}", user=user) == ids[:1]
    shown = (await public.call("GET", "/v1/overview", user=user)).json()
    assert [one["id"] for one in shown["findings"]] == [ids[2], ids[0]]
    assert await listed(public, "/v1/findings", user=await public.grant("viewer", "tenant/x")) == []


async def test_a_tenants_page_is_one_answer_with_what_is_open(public: Any, known: Any) -> None:
    customer, tenant, reseller = new(), new(), new()
    await known.put("customer.added", customer, name="Northwind")
    await known.put("reseller.added", reseller, display_name=f"Contoso {reseller}")
    connection = {
        "marketplace": "ingram-micro-xvantage",
        "reseller_id": reseller,
        "marketplace_customer_id": "2000017",
        "marketplace_customer_name": "Northwind",
        "connected_at": when(0),
    }
    await known.put("tenant.connected", tenant, customer_id=customer, connection=connection)
    whose = {"tenant_id": tenant, "customer_id": customer}
    active = await known.put("subscription.activated", f"s-{tenant}", **whose, status="active")
    await known.put("subscription.activated", f"e-{tenant}", **whose, status="terminated")
    for status in ("placing", "needs_review", "some_day_new", "completed", "failed"):
        await known.put("license.change-requested", f"{status}-{tenant}", **whose, status=status)
    path = f"/v1/tenants/{tenant}/overview"
    page = (await public.call("GET", path)).json()
    assert page["tenant"]["id"] == tenant
    assert page["customer"]["name"] == "Northwind"
    assert page["reseller"]["display_name"] == f"Contoso {reseller}"
    open_ = {"placing": 1, "needs_review": 1, "some_day_new": 1}
    assert page["requests_by_status"] == open_
    assert {one["status"] for one in page["requests"]} == set(open_)
    assert page["subscriptions_by_status"] == {"active": 1, "terminated": 1}
    (option,) = active["options"]
    assert page["seats"] == {option["name"]: option["quantity"]}
    by_tenant = await public.grant("viewer", f"tenant/{tenant}")
    seen = (await public.call("GET", path, user=by_tenant)).json()
    assert seen["customer"] is None
    assert seen["tenant"] == page["tenant"]
    for user in (await public.grant("viewer", f"tenant/{new()}"), new()):
        assert (await public.call("GET", path, user=user)).status_code == 404
    await known.put("tenant.connected", tenant, 9, customer_id=customer, status="removed")
    assert (await public.call("GET", path)).status_code == 404


async def test_no_list_asks_for_what_no_index_serves(public: Any, known: Any) -> None:
    tenant = new()
    await known.put("tenant.registered", tenant)
    customer = f"customer_id={new()}"
    scoped = await public.grant("viewer", f"tenant/{tenant}")
    await public.grant("viewer", f"customer/{new()}", f"user:{scoped}")
    for user in ("root", scoped):
        for path in (
            "/v1/resellers",
            "/v1/customers",
            "/v1/overview",
            f"/v1/tenants/{tenant}/overview",
            *(f"/v1/tenants?{query}" for query in ("", customer, "status=registered")),
            *(
                f"/v1/tenants/{tenant}/subscriptions?{query}"
                for query in ("", "status=active", "former=true")
            ),
            *(
                f"/v1/findings?{query}"
                for query in ("", customer, f"tenant_id={tenant}", "status=open")
            ),
            *(
                f"/v1/license-change-requests?{query}"
                for query in ("", customer, f"tenant_id={tenant}", "status=placed")
            ),
        ):
            for page in (path, f"{path}{'&' if '?' in path else '?'}limit=1"):
                if "overview" not in page:
                    answer = await public.call("GET", page, user=user)
                    assert answer.status_code == 200, page
            if "overview" in path:
                assert (await public.call("GET", path, user=user)).status_code == 200
    ready = (await public.http.get("/health/ready")).json()
    assert ready["unindexed_queries"] == []
