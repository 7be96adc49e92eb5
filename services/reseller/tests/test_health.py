"""Whether an account's credentials work, kept by their real use; and a marketplace that does not answer."""

import asyncio
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import examples
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purser_common.testing import eventually, records
from purser_events.reseller import Reseller, ResellerAccount
from reseller_service.domain import health, outages
from reseller_service.domain.accounts import Limits, Standing
from reseller_service.domain.health import Refusal, Use

NOW = datetime(2030, 1, 1, tzinfo=UTC)
REFUSED = Refusal("credentials_refused", None, "401: Bad credentials")
FORBIDDEN = Refusal("forbidden", "orders", "403: no")
TOPICS = ("reseller.account-broken", "reseller.account-recovered")
Order = Callable[[dict[str, Any]], dict[str, Any]]


def reseller(set_at: datetime = NOW) -> Reseller:
    return examples.reseller(credentials_set_at=set_at)


def after(*uses: Use, before: ResellerAccount | None = None) -> ResellerAccount | None:
    for n, use in enumerate(uses):
        decided = health.observed(before, use, NOW + timedelta(minutes=n))
        before = decided[0] if decided else before
    return before


def test_credentials_work_from_when_they_were_proven_until_a_use_is_refused() -> None:
    assert after(Use(reseller(), "orders"), Use(reseller(), "products")) is None
    shown = health.connection(reseller(), None)
    assert (shown.state, shown.since, shown.reason) == ("working", NOW, None)
    broken = after(Use(reseller(), "orders"), Use(reseller(), "orders", REFUSED))
    shown = health.connection(reseller(), broken)
    assert (shown.state, shown.since) == ("broken", NOW + timedelta(minutes=1))
    assert (shown.reason, shown.detail) == ("credentials_refused", "401: Bad credentials")


def test_the_next_success_shows_that_credentials_work_again() -> None:
    found = after(Use(reseller(), "orders", REFUSED), Use(reseller(), "products"))
    assert found is not None
    assert (found.status, found.since, found.reason) == (
        "working",
        NOW + timedelta(minutes=1),
        None,
    )


def test_what_alone_is_forbidden_shows_itself_that_it_is_allowed_again() -> None:
    broken = after(Use(reseller(), "orders", FORBIDDEN), Use(reseller(), "products"))
    assert broken is not None
    assert broken.status == "broken"
    found = after(Use(reseller(), "orders"), before=broken)
    assert found is not None
    assert found.status == "working"


def test_what_older_credentials_came_to_says_nothing_of_newer_ones() -> None:
    newer = reseller(NOW + timedelta(hours=1))
    broken = after(Use(reseller(), "orders", FORBIDDEN))
    assert health.connection(newer, broken).state == "working"
    proven = after(Use(newer, "token"), before=broken)
    assert proven is not None
    assert proven.status == "working"
    assert after(Use(reseller(), "orders", REFUSED), before=proven) == proven
    again = after(Use(newer, "orders", REFUSED), before=proven)
    assert again is not None
    assert again.status == "broken"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([NOW, NOW + timedelta(hours=1)]),
            st.sampled_from(["orders", "products"]),
            st.sampled_from([None, REFUSED, FORBIDDEN]),
        ),
        max_size=12,
    )
)
def test_facts_say_what_changes_and_never_the_same_of_the_same_credentials_twice(
    uses: list[tuple[datetime, str, Refusal | None]],
) -> None:
    state, told = None, []
    for set_at, resource, refusal in uses:
        decided = health.observed(state, Use(reseller(set_at), resource, refusal), NOW)
        if decided is not None:
            state, (fact,) = decided
            assert fact.state == state
            told.append((state.status, state.credentials_set_at))
    assert all(one != following for one, following in pairwise(told))
    assert [set_at for _, set_at in told] == sorted(set_at for _, set_at in told)
    assert not told or told[0][0] == "broken"


def test_an_account_rests_after_failures_in_a_row_and_a_failed_probe_lets_it_rest_again() -> None:
    limits = Limits(outage_failures=3, outage_rest_seconds=5)
    standing = Standing()
    for _ in range(2):
        standing = outages.failed(standing, limits, NOW)
    assert outages.seconds_down(standing, NOW) is None
    assert outages.answered(standing) == Standing()
    standing = outages.failed(standing, limits, NOW)
    assert outages.seconds_down(standing, NOW) == 5
    later = NOW + timedelta(seconds=5)
    assert outages.seconds_down(standing, later) is None
    assert outages.seconds_down(outages.failed(standing, limits, later), later) == 5


async def connection(service: Any, one: dict[str, Any]) -> dict[str, Any]:
    shown = await service.read(one)
    assert shown["etag"] == one["etag"], "what is observed is no change of the reseller"
    found: dict[str, Any] = shown["connection"]
    return found


async def told(deployment: Any, one: dict[str, Any], count: int) -> list[str]:
    """The topics of the facts about an account, once there are as many."""
    found: list[dict[str, Any]] = []

    def enough(read: Any) -> bool:
        events = [json.loads(record.value) for record in read]
        found[:] = [e for e in events if e["subject"] == f"reseller-account/{one['id']}"]
        return len(found) >= count

    await records(deployment.kafka, *TOPICS, until=enough)
    in_order = sorted(found, key=lambda event: event["sequence"])
    return [event["type"].removeprefix("purser.").removesuffix(".v1") for event in in_order]


async def disabled(sandbox: Any, account: dict[str, Any], value: bool) -> None:
    await sandbox.ask("PATCH", f"/logins/{account['login']['id']}", json={"disabled": value})


async def test_a_refused_key_is_seen_by_whoever_uses_it_and_so_is_that_it_works_again(
    service: Any, sandbox: Any, deployment: Any
) -> None:
    account = await sandbox.account()
    added = await service.add(account)
    path = f"/v1/resellers/{added['id']}/customers"
    assert (await service.call("GET", path)).status_code == 200
    before = await connection(service, added)
    assert (before["state"], before["since"]) == ("working", added["credentials_set_at"])
    await disabled(sandbox, account, True)
    async with deployment.start() as (replica, _):
        answers = await asyncio.gather(
            *(one.call("GET", path) for one in (service, replica) for _ in range(5))
        )
        assert {answer.json()["code"] for answer in answers} == {"marketplace_credentials_refused"}
        broken = await connection(service, added)
        assert (broken["state"], broken["reason"]) == ("broken", "gateway_refused")
        assert "invalid subscription key" in broken["detail"]
        assert broken["since"] > before["since"]
        assert account["login"]["subscription_key"] not in json.dumps(broken)
        await disabled(sandbox, account, False)
        answers = await asyncio.gather(
            *(one.call("GET", path) for one in (service, replica) for _ in range(5))
        )
        assert {answer.status_code for answer in answers} == {200}
    again = await connection(service, added)
    assert (again["state"], again["reason"], again["detail"]) == ("working", None, None)
    assert again["since"] > broken["since"]
    assert await told(deployment, added, 2) == list(TOPICS)


async def test_new_credentials_end_that_the_old_ones_are_refused(
    service: Any, sandbox: Any, deployment: Any
) -> None:
    account = await sandbox.account()
    added = await service.add(account, buying=True)
    path = f"/v1/resellers/{added['id']}/customers"
    assert (await service.call("GET", path)).status_code == 200
    password = f"renewed-{uuid.uuid4().hex}"
    change = {"password": password, "expire_tokens": True}
    await sandbox.ask("PATCH", f"/logins/{account['login']['id']}", json=change)
    assert (await service.call("GET", path)).status_code == 503
    broken = await connection(service, added)
    assert (broken["state"], broken["reason"]) == ("broken", "credentials_refused")
    changed = await service.change(added, credentials={"password": password})
    assert changed.status_code == 200, changed.text
    shown = (await service.read(added))["connection"]
    assert (shown["state"], shown["reason"]) == ("working", None)
    assert shown["since"] >= changed.json()["credentials_set_at"]
    assert await told(deployment, added, 2) == list(TOPICS)


async def test_a_resource_that_is_forbidden_is_broken_until_it_is_allowed(
    service: Any, sandbox: Any, deployment: Any
) -> None:
    account = await sandbox.account()
    added = await service.add(account)
    base = f"/internal/marketplace/{added['id']}"
    await sandbox.fault(account, route="GET /orders", kind="status", status=403, times=2)
    assert (await service.call("GET", f"{base}/orders", peer="order")).status_code == 403
    assert (await service.call("GET", f"{base}/customers", peer="order")).status_code == 200
    broken = await connection(service, added)
    assert (broken["state"], broken["reason"]) == ("broken", "forbidden")
    assert (await service.call("GET", f"{base}/orders", peer="order")).status_code == 200
    assert (await connection(service, added))["state"] == "working"
    assert await told(deployment, added, 2) == list(TOPICS)


async def test_an_order_that_gets_no_token_shows_that_the_credentials_are_refused(
    service: Any, sandbox: Any, order_of: Order
) -> None:
    account = await sandbox.account()
    added = await service.add(account, buying=True)
    await disabled(sandbox, account, True)
    sent = await service.send(added, order_of(account), f"{uuid.uuid4()}/1")
    assert sent.json()["sent"] == "no"
    assert (await connection(service, added))["state"] == "broken"
    await disabled(sandbox, account, False)
    read = await service.call("GET", f"/v1/resellers/{added['id']}/customers")
    assert read.status_code == 200
    assert (await connection(service, added))["state"] == "working"


@pytest.mark.parametrize("family", ["platform", "html"])
async def test_an_outage_or_a_refusal_of_something_else_says_nothing_of_the_credentials(
    service: Any, sandbox: Any, family: str
) -> None:
    account = await sandbox.account()
    added = await service.add(account)
    for status in (404, 500, 503):
        fault = {"route": "GET /orders", "kind": "status", "status": status, "family": family}
        await sandbox.fault(account, **fault)
        path = f"/internal/marketplace/{added['id']}/orders"
        assert (await service.call("GET", path, peer="order")).status_code == status
    assert (await connection(service, added))["state"] == "working"


async def test_a_marketplace_that_does_not_answer_is_left_alone_for_a_while(
    deployment: Any, sandbox: Any, order_of: Order
) -> None:
    limits = {"outage_failures": 3, "outage_rest_seconds": 0.8}
    async with deployment.start(accounts=limits) as (service, _):
        account, other = await sandbox.account(), await sandbox.account()
        ill = await service.add(account, buying=True)
        well = await service.add(other)
        path = f"/internal/marketplace/{ill['id']}/orders"
        for fault in ({"kind": "status", "status": 504, "family": "html"}, {"kind": "reset"}):
            await sandbox.fault(account, route="GET /orders", **fault)
        await sandbox.fault(account, route="GET /orders", kind="status", status=502, times=None)
        for _ in range(3):
            assert (await service.call("GET", path, peer="order")).status_code in (502, 503, 504)
        made = len(await sandbox.calls(account, "GET", "/orders"))
        refused = await service.call("GET", path, peer="order")
        assert (refused.status_code, refused.json()["code"]) == (503, "marketplace_unavailable")
        assert int(refused.headers["retry-after"]) == 1
        public = await service.call("GET", f"/v1/resellers/{ill['id']}/customers")
        assert (public.status_code, public.json()["code"]) == (503, "marketplace_unavailable")
        assert len(await sandbox.calls(account, "GET", "/orders")) == made
        others_path = f"/v1/resellers/{well['id']}/customers"
        assert (await service.call("GET", others_path)).status_code == 200
        urgent = {"Purser-Priority": "reconcile"}
        told = await service.call("GET", path, peer="order", headers=urgent)
        assert told.status_code == 502, "what is uncertain is looked for all the same"
        sent = await service.send(ill, order_of(account), f"{uuid.uuid4()}/1")
        assert sent.json()["sent"] == "yes", "an order has a breaker of its own"
        await sandbox.ask("DELETE", "/faults")

        async def reads_again() -> bool:
            return bool((await service.call("GET", path, peer="order")).status_code == 200)

        await eventually(reads_again, within=5)
        await sandbox.fault(account, route="GET /orders", kind="status", status=502)
        assert (await service.call("GET", path, peer="order")).status_code == 502
        assert await reads_again(), "one failure after an answer is no outage"


async def test_outages_are_counted(own_process: Any, sandbox: Any) -> None:
    service = await own_process.start(ACCOUNTS__OUTAGE_FAILURES="1")
    account = await sandbox.account()
    added = await service.add(account)

    async def counted() -> float:
        text = (await service.http.get("/metrics")).text
        lines = [row for row in text.splitlines() if row.startswith("marketplace_outages_total")]
        return float(lines[0].rsplit(" ", 1)[1])

    assert await counted() == 0
    await sandbox.fault(account, route="GET /customers", kind="status", status=503)
    await service.call("GET", f"/v1/resellers/{added['id']}/customers")
    assert await counted() == 1
