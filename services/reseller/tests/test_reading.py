"""The budget of detail reads: pure, across replicas, and at the pass-through."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purser_common.errors import Unavailable
from reseller_service.commands.reading import ReadBudget
from reseller_service.domain import reading
from reseller_service.domain.accounts import Limits, Standing
from reseller_service.domain.reading import Exhausted, Share
from reseller_service.store import Accounts

NOW = datetime(2030, 1, 1, 12, 0, 1, tzinfo=UTC)
MINUTE = timedelta(seconds=60)


@pytest.mark.parametrize(
    ("method", "path", "counted"),
    [
        ("GET", "orders/1", True),
        ("GET", "subscriptions/1", True),
        ("GET", "orders", False),
        ("GET", "resellers/1/customers", False),
        ("PATCH", "subscriptions/1", False),
        ("POST", "orders/estimate", False),
    ],
)
def test_a_read_of_one_object_is_counted(method: str, path: str, counted: bool) -> None:
    assert reading.is_detail(method, path) is counted


class Book:
    """An account's standing in memory, with a clock that the test moves."""

    def __init__(self) -> None:
        self.standing = Standing()
        self.now = NOW

    async def change(self, _: str, decide: Callable[[Standing], tuple[Standing, Any]]) -> Any:
        self.standing, answer = decide(self.standing)
        return answer


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.booleans(), st.floats(0, 20), st.integers(1, 40)),
        max_size=60,
    ),
    budget=st.integers(1, 100),
)
def test_in_no_minute_do_all_replicas_together_read_more_than_the_budget(
    steps: list[tuple[int, bool, float, int]], budget: int
) -> None:
    book, limits = Book(), Limits(reads_per_minute=budget)
    replicas = [ReadBudget(book, limits, lambda: book.now) for _ in range(3)]  # type: ignore[arg-type]
    reads: list[datetime] = []

    async def run() -> None:
        for replica, urgent, seconds, times in steps:
            book.now += timedelta(seconds=seconds)
            for _ in range(times):
                try:
                    await replicas[replica].spend("r", urgent=urgent)
                except Unavailable:
                    break
                reads.append(book.now)

    asyncio.run(run())
    for first in reads:
        assert sum(first <= at < first + MINUTE for at in reads) <= budget
    assert len(book.standing.reads) <= reading.SLOTS + 1


def read(standing: Standing, limits: Limits, now: datetime, urgent: bool = False) -> Any:
    """The standing after one replica has leased all that it gets."""
    share: Share | None = None
    total = 0
    while True:
        standing, found = reading.leased(standing, share, urgent, limits, now)
        if isinstance(found, Exhausted):
            return standing, total, found.retry_after
        share = found
        total += share.size
        share.left = 0


def test_a_part_of_the_budget_is_kept_for_what_is_urgent() -> None:
    limits = Limits(reads_per_minute=100)
    standing, normal, _ = read(Standing(), limits, NOW)
    assert normal == 80
    standing, urgent, _ = read(standing, limits, NOW, urgent=True)
    assert urgent == 20
    assert read(standing, limits, NOW, urgent=True)[1] == 0


def test_an_exhausted_budget_says_when_there_is_another_read() -> None:
    limits = Limits(reads_per_minute=100)
    standing, _, wait = read(Standing(), limits, NOW)
    # slots of six seconds, the first began a second ago; eleven of them count
    assert wait == 65
    almost = NOW + timedelta(seconds=64.9)
    assert read(standing, limits, almost)[1] == 0
    assert read(standing, limits, NOW + timedelta(seconds=65))[1] == 80


def test_what_is_urgent_can_hold_back_what_is_not_until_enough_has_left_the_minute() -> None:
    limits = Limits(reads_per_minute=100)
    standing, urgent, _ = read(Standing(), limits, NOW, urgent=True)
    assert urgent == 100
    assert read(standing, limits, NOW)[1:] == (0, 65)


def test_shares_grow_with_use_up_to_a_tenth_and_what_is_left_is_given_back() -> None:
    limits = Limits(reads_per_minute=100)
    standing, share = reading.leased(Standing(), None, False, limits, NOW)
    sizes = []
    for _ in range(6):
        assert isinstance(share, Share)
        sizes.append(share.size)
        share.left = 0
        standing, share = reading.leased(standing, share, False, limits, NOW)
    assert sizes == [1, 2, 4, 8, 10, 10]
    assert isinstance(share, Share)
    share.left = 7
    later = NOW + reading.SLOT
    standing, share = reading.leased(standing, share, False, limits, later)
    assert isinstance(share, Share)
    assert share.size == 1
    assert [entry.reads for entry in standing.reads] == [sum(sizes) + 10 - 7, 1]


def test_a_slow_reader_wastes_nothing() -> None:
    limits, standing, share = Limits(reads_per_minute=100), Standing(), None
    for n in range(50):
        now = NOW + n * reading.SLOT
        standing, found = reading.leased(standing, share, False, limits, now)
        assert isinstance(found, Share)
        found.left -= 1
        share = found
    assert sum(entry.reads for entry in standing.reads) == 11


async def test_two_replicas_read_no_more_than_one_could(database: Any) -> None:
    limits, reseller = Limits(reads_per_minute=50, reads_reserved_percent=0), str(uuid.uuid4())
    moment = datetime.now(UTC)
    replicas = [ReadBudget(Accounts(database), limits, lambda: moment) for _ in range(2)]

    async def one(budget: ReadBudget) -> str:
        try:
            await budget.spend(reseller, urgent=False)
        except Unavailable as error:
            return error.code
        return "read"

    found = await asyncio.gather(*(one(replicas[n % 2]) for n in range(80)))
    told = Counter(found)
    assert set(told) == {"read", "read_budget_exhausted"}
    # a share that one replica still holds when the other is refused is not lost to both
    assert 45 <= told["read"] <= 50
    assert await database["accounts"].count_documents({"_id": reseller}) == 1
    document = await database["accounts"].find_one({"_id": reseller})
    assert document["version"] < 25


async def detail(service: Any, reseller: dict[str, Any], account: Any, **headers: str) -> Any:
    customer = account["resellers"][0]["customers"][0]["id"]
    path = f"/internal/marketplace/{reseller['id']}/customers/{customer}"
    return await service.call("GET", path, peer="order", headers=headers)


async def passed(database: Any, reseller: dict[str, Any], seconds: float) -> None:
    """Let the leased reads be so much older."""
    document = await database["accounts"].find_one({"_id": reseller["id"]})
    reads = [
        {**entry, "slot": entry["slot"] - timedelta(seconds=seconds)} for entry in document["reads"]
    ]
    await database["accounts"].update_one({"_id": reseller["id"]}, {"$set": {"reads": reads}})


async def test_reads_beyond_the_budget_are_refused_in_every_process_but_for_reconciling(
    service: Any, sandbox: Any, deployment: Any, database: Any
) -> None:
    account = await sandbox.account(reads_per_minute=10)
    reseller = await service.add(account)
    limits = {"reads_per_minute": 10}
    async with (
        deployment.start(accounts=limits) as (first, _),
        deployment.start(accounts=limits) as (second, _),
    ):
        answers: list[httpx.Response] = []
        for n in range(14):
            answers.append(await detail((first, second)[n % 2], reseller, account))
        assert [a.status_code for a in answers] == [200] * 8 + [503] * 6
        refused = answers[-1]
        assert refused.json()["code"] == "read_budget_exhausted"
        assert 0 < int(refused.headers["retry-after"]) <= 66
        listed = f"/internal/marketplace/{reseller['id']}/customers"
        assert (await first.call("GET", listed, peer="order")).status_code == 200
        urgent = {"Purser-Priority": "reconcile"}
        answers = [await detail(second, reseller, account, **urgent) for _ in range(3)]
        assert [a.status_code for a in answers] == [200, 200, 503]
        await passed(database, reseller, 66)
        # this time it is the marketplace that has counted
        assert (await detail(first, reseller, account)).status_code == 429
        calls = await sandbox.calls(account, "GET", path_of(account))
        assert [call["status"] for call in calls] == [200] * 10 + [429]


def path_of(account: dict[str, Any]) -> str:
    return f"/customers/{account['resellers'][0]['customers'][0]['id']}"


async def test_a_read_of_a_customer_for_a_connection_is_counted_too(
    service: Any, sandbox: Any, deployment: Any
) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    customer = account["resellers"][0]["customers"][0]["id"]
    path = f"/internal/resellers/{reseller['id']}/marketplace-customers/{customer}"
    async with deployment.start(accounts={"reads_per_minute": 1}) as (one, _):
        assert (await one.call("GET", path, peer="order")).status_code == 200
        refused = await one.call("GET", path, peer="order")
        assert refused.json()["code"] == "read_budget_exhausted"


async def test_a_priority_that_is_not_known_is_named(service: Any, sandbox: Any) -> None:
    account = await sandbox.account()
    reseller = await service.add(account)
    refused = await detail(service, reseller, account, **{"Purser-Priority": "mine"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "#/header/Purser-Priority"
