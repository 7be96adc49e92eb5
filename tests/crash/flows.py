"""What leads to each crash point, followed to its end as a patient person would follow it.

A flow makes its preparations, calls `arm` where the crash is wanted, goes on until the end, and answers
with how it ended. It raises AssertionError for what must never be.
"""

import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
from integration.conftest import Shop

from crash.site import PATIENCE, Arm, Branch, Site, code_of


def purchase(site: Site, arm: Arm) -> str:
    """A purchase as it should go."""
    with site.shop() as shop:
        arm()
        return site.followed(shop, site.buy(shop))


def abandoned(site: Site, arm: Arm) -> str:
    """A purchase whose sender fails after the intent: somebody else has to find out what became of it."""
    with site.shop() as shop:
        arm()
        site.armory.arm("order", "order.send.intent_written", "raise")
        return site.followed(shop, site.buy(shop))


def lost(site: Site, arm: Arm) -> str:
    """A purchase whose answer is lost, and whose order is listed a little later."""
    with site.shop() as shop:
        for _ in range(3):
            shop.fault(kind="execute_then", then={"kind": "status", "status": 500})
            shop.fault(kind="list_lag", seconds=1.5)
            request = site.buy(shop)
            subject = f"license-change-request/{request['id']}"
            seen = ("uncertain", "needs_review", "completed")
            # facts that waited come together: then there is nothing left to find out
            if site.watch.state(subject, *seen, within=PATIENCE)["status"] != "completed":
                break
        arm()
        return site.followed(shop, request)


def absent(site: Site, arm: Arm) -> str:
    """A purchase that was not executed though the answer could mean that it was."""
    with site.shop() as shop:
        shop.fault(kind="status", status=504, family="html")
        request = site.buy(shop)
        site.watch.state(
            f"license-change-request/{request['id']}", "uncertain", "needs_review", within=PATIENCE
        )
        arm()
        return site.followed(shop, request)


def settled(site: Site, arm: Arm) -> str:
    """The same, and a person who says that it was not placed: the order is sent again."""
    with site.shop() as shop:
        # no list shows that something is absent unless it shows what is known to be there
        site.followed(shop, site.buy(shop))
        shop.fault(kind="status", status=504, family="html")
        request = site.buy(shop)
        subject = f"license-change-request/{request['id']}"
        site.watch.state(subject, "needs_review", within=PATIENCE)
        arm()
        deadline = time.monotonic() + PATIENCE
        while (answer := site.settle(request, "not_placed")).status_code >= 400:
            assert code_of(answer) in ("too_early", "absence_not_shown", "busy"), answer.text
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.3)
        decided = int(answer.headers["etag"].strip('"'))
        site.watch.wait(
            lambda: site.watch.states.get(subject, (0, {}))[0] >= decided,
            f"{subject} as it was settled",
            PATIENCE,
        )
        return site.followed(shop, request)


def mirrored(site: Site, arm: Arm) -> str:
    """A purchase whose subscription is then read into the mirror."""
    with site.shop() as shop:
        arm()
        request = site.buy(shop)
        end = site.followed(shop, request)
        if end != "completed":
            return end
        bought = site.watch.states[f"license-change-request/{request['id']}"][1]
        wanted = bought["marketplace_subscription_id"]

        def shown() -> bool:
            return any(
                state["marketplace_subscription_id"] == wanted
                for subject, (_, state) in site.watch.states.items()
                if subject.startswith("subscription/")
            )

        site.watch.wait(shown, f"subscription {wanted} in the mirror", PATIENCE)
        return end


def keyed(site: Site, arm: Arm) -> str:
    """A keyed call that changes something, until its fact is in the audit trail."""
    name = f"Customer {uuid.uuid4().hex[:12]}"
    arm()
    added = site.system.call("POST", "/v1/customers", {"name": name}).json()

    def told() -> list[str]:
        facts = [one.fact for one in list(site.watch.records) if one.topic == "customer.added"]
        named = [fact for fact in facts if fact and fact["data"]["state"]["name"] == name]
        assert {fact["subject"] for fact in named} <= {f"customer/{added['id']}"}, "added twice"
        return [fact["id"] for fact in named]

    (id, *_) = site.watch.wait(told, f"the fact of {name}", PATIENCE)
    records = site.databases["purser_audit"]["records"]
    deadline = time.monotonic() + PATIENCE
    while records.find_one({"_id": id}) is None:
        assert time.monotonic() < deadline, f"{id} is not in the audit trail"
        time.sleep(0.1)
    return "completed"


def connected(site: Site, arm: Arm) -> str:
    """A tenant that is connected to a customer of the reseller."""
    branch = site.branch()
    arm()
    etag = site.system.call("GET", f"/v1/tenants/{branch.tenant['id']}").headers["etag"]
    answer = _connect(branch, branch.customer["id"], etag)
    assert answer.status_code < 400, answer.text

    def shown() -> bool:
        _, state = site.watch.states.get(f"tenant/{branch.tenant['id']}", (0, {}))
        return bool(state.get("connection"))

    site.watch.wait(shown, f"tenant {branch.tenant['id']} connected", PATIENCE)
    return "completed"


def unconnected(site: Site, arm: Arm) -> str:
    """A tenant that is to be connected to a customer whom the marketplace does not know."""
    branch = site.branch()
    arm()
    path = f"/v1/tenants/{branch.tenant['id']}"
    answer = _connect(branch, "999999999", site.system.call("GET", path).headers["etag"])
    assert answer.status_code == 422, answer.text
    assert site.system.get(path)["connection"] is None
    held = site.databases["purser_tenant_connection"]["tenants"].find_one(
        {"_id": branch.tenant["id"]}
    )
    assert held is not None
    assert not held.get("pending_connection"), "the refused reference is still pending"
    return "refused"


def disconnected(site: Site, arm: Arm) -> str:
    """A connected tenant that is disconnected."""
    branch = _joined(site)
    arm()
    answer = _tie(branch, "DELETE", confirm="true")
    assert answer.status_code < 400, answer.text

    def gone() -> bool:
        _, state = site.watch.states.get(f"tenant/{branch.tenant['id']}", (0, {}))
        return bool(state) and not state.get("connection")

    site.watch.wait(gone, f"tenant {branch.tenant['id']} disconnected", PATIENCE)
    return "completed"


def reconnected(site: Site, arm: Arm) -> str:
    """A connected tenant that is moved to another customer of the reseller."""
    branch, vacant = _joined(site), site.branch()
    arm()
    to = {"marketplace_customer_id": vacant.customer["id"]}
    answer = _tie(branch, "PATCH", to)
    assert answer.status_code < 400, answer.text

    def moved() -> bool:
        _, state = site.watch.states.get(f"tenant/{branch.tenant['id']}", (0, {}))
        tie = state.get("connection") or {}
        return bool(tie.get("marketplace_customer_id") == vacant.customer["id"])

    site.watch.wait(moved, f"tenant {branch.tenant['id']} moved", PATIENCE)
    return "completed"


def held(site: Site, arm: Arm) -> str:
    """A tenant that is to be disconnected while nobody knows what became of an order of it."""
    with site.shop() as shop:
        shop.fault(kind="status", status=504, family="html")
        request = site.buy(shop)
        subject = f"license-change-request/{request['id']}"
        site.watch.state(subject, "uncertain", "needs_review", within=PATIENCE)
        arm()
        answer = _tie(shop, "DELETE", confirm="true")
        assert code_of(answer) == "purchases_open", answer.text
        tenant = site.system.get(f"/v1/tenants/{shop.tenant['id']}")
        assert tenant["connection"] is not None
        site.followed(shop, request)
    return "refused"


def removed(site: Site, arm: Arm) -> str:
    """A tenant that is removed while a request of it waits to be sent; then it comes back."""
    with site.shop() as shop:
        stop = {"scope": shop.reseller["id"], "reason": "the tenant is about to leave"}
        stopped = site.system.call("POST", "/v1/buying-stops", stop).headers["location"]
        request = shop.buy()
        arm()
        path = f"/v1/tenants/{shop.tenant['id']}"
        site.system.call("POST", f"{path}/removals", {"confirmation": "Yes"})
        subject = f"license-change-request/{request['id']}"
        site.watch.state(subject, "withdrawn", within=PATIENCE)
        assert shop.orders(request) == [], "an order was executed for a request that was withdrawn"
        body = {
            "entra_tenant_id": shop.tenant["entra_tenant_id"],
            "name": shop.tenant["name"],
            "domain": shop.tenant["domain"],
        }
        site.system.call("POST", f"/v1/customers/{shop.tenant['customer_id']}/tenants", body)
        shop.connect()
        headers = {"If-Match": site.system.call("GET", stopped).headers["etag"]}
        site.system.call("DELETE", stopped, headers=headers, params={"confirm": "true"})
    return "completed"


def _joined(site: Site) -> Branch:
    """A branch whose tenant is connected."""
    branch = site.branch()
    etag = site.system.call("GET", f"/v1/tenants/{branch.tenant['id']}").headers["etag"]
    assert _connect(branch, branch.customer["id"], etag).status_code < 400
    return branch


def _tie(shop: Shop, method: str, body: Any = None, **params: str) -> httpx.Response:
    path = f"/v1/tenants/{shop.tenant['id']}"
    headers = {"If-Match": shop.system.call("GET", path).headers["etag"]}
    return shop.system.ask(method, f"{path}/connection", body, headers=headers, params=params)


def _connect(branch: Branch, customer: str, etag: str) -> httpx.Response:
    body = {"reseller_id": branch.reseller["id"], "marketplace_customer_id": customer}
    path = f"/v1/tenants/{branch.tenant['id']}/connection"
    return branch.system.ask("PUT", path, body, headers={"If-Match": etag})


def deleted(site: Site, arm: Arm) -> str:
    """A reseller that nothing refers to is deleted, and then added again."""
    asked = {"customers": 1, "resellers": 1}
    answer = site.system.sandbox.post("/sandbox/accounts", json=asked).raise_for_status()
    shop = Shop(site.system, answer.json())
    shop.add_reseller()
    id, path = shop.reseller["id"], f"/v1/resellers/{shop.reseller['id']}"
    condition: dict[str, str | None] = {"If-Match": site.system.call("GET", path).headers["etag"]}
    arm()
    deadline = time.monotonic() + PATIENCE
    while (
        answer := site.system.ask("DELETE", f"{path}?confirm=true", headers=condition)
    ).status_code != 404:
        assert code_of(answer) in (None, "reseller_closing"), answer.text
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.3)
    site.watch.state(f"reseller/{id}", "deleted", within=PATIENCE)
    shop.add_reseller()
    return "deleted"


def poison(site: Site, arm: Arm) -> str:
    """A record that nobody can read; it is put aside."""
    value = f"unreadable {uuid.uuid4()}".encode()
    site.poison.append(value)
    arm()
    site.watch.produce("action.performed", "nobody", value)

    def aside() -> bool:
        return any(one.dead and one.value == value for one in list(site.watch.records))

    site.watch.wait(aside, "the record put aside", PATIENCE)
    return "completed"


FLOWS: dict[str, Callable[[Site, Arm], str]] = {
    flow.__name__: flow
    for flow in (
        purchase,
        abandoned,
        lost,
        absent,
        settled,
        mirrored,
        keyed,
        connected,
        unconnected,
        disconnected,
        reconnected,
        held,
        removed,
        deleted,
        poison,
    )
}
BUYING = ("purchase", "abandoned", "lost", "settled", "mirrored")
"""Flows that another crash on the way may lead into a review."""
