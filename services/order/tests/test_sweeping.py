"""Every order that an account shows is linked, flagged or mirrored, whenever it is known whose it is."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from examples import license_request

from order_service import store
from order_service.commands.sweeping import Pauses, Post, sweep_next
from order_service.domain import purchase as rules
from order_service.domain import review
from order_service.domain.offers import Listed, OrderedLine, Seen, Swept
from order_service.domain.purchase import Purchase, Refused, Taken, Unknown
from order_service.views import Views
from purser_common.clock import real_now
from purser_common.errors import NotFound
from purser_common.mongo import Database
from purser_common.outbox import Outbox, Request
from purser_common.telemetry import Cause
from purser_events.envelope import Envelope, envelop
from purser_events.license import MarketplaceOrder
from purser_events.tenant import Connection, Consent, Tenant, TenantConnected, TenantFact

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
CAUSE = Cause("service:order", "correlation-1")
IDS = ("6f1c7c0e-2d3b-5f4a-9c8d-0123456789ab", "7f1c7c0e-2d3b-5f4a-9c8d-0123456789ab")
CUSTOMER = "1000003"


@dataclass
class Account:
    """An account at the marketplace as its panel shows it, and the sweeps of it."""

    requests: store.Requests
    accounts: store.Accounts
    orders: store.Orders
    connections: store.Connections
    views: Views
    began: datetime = field(default_factory=real_now)
    now: datetime = field(default_factory=real_now)
    shown: list[Seen] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    unresolved_ids: set[str] = field(default_factory=set)
    meanwhile: Callable[[], Any] | None = None
    ahead: timedelta = timedelta()
    """How far business time, in which orders are dated, is ahead of real time."""
    missing: bool = False
    deleted: bool = False

    async def order(self, reseller_id: str, order_id: str) -> Seen:
        """One order in detail."""
        self.read.append(order_id)
        for seen in self.shown:
            if seen.order.id == order_id:
                return seen
        raise NotFound("the marketplace does not know it")

    async def listed(self, reseller_id: str, since: datetime) -> list[Listed]:
        """The orders since then."""
        if self.missing:
            raise NotFound("the marketplace does not know it")
        rows = [
            Listed(seen.order.id, seen.order.status, seen.customer_id, seen.ordered_at)
            for seen in self.shown
            if seen.ordered_at is None or seen.ordered_at >= since
        ]
        if self.meanwhile:
            await self.meanwhile()
            self.meanwhile = None
        return rows

    async def numbered(self, reseller_id: str, order_number: str) -> list[Listed]:
        """The orders with this number, however old."""
        return [
            Listed(seen.order.id, seen.order.status, seen.customer_id, seen.ordered_at)
            for seen in self.shown
            if seen.order.number == order_number
        ]

    async def unresolved(self, purchase: Purchase, cause: Cause) -> None:
        """The reseller service counts it."""
        self.unresolved_ids.add(purchase.id)

    async def gone(self, reseller_id: str, cause: Cause) -> bool:
        """Whether the reseller service says that the reseller was deleted."""
        return self.deleted

    async def resolved(self, purchase: Purchase, cause: Cause) -> None:
        """The reseller service no longer counts it."""
        self.unresolved_ids.discard(purchase.id)

    async def sweep(self, at: timedelta = timedelta()) -> None:
        """Sweep the account, so long after the test began."""
        self.now = self.began + at
        here: Any = self
        post = Post(
            self.requests,
            self.accounts,
            self.orders,
            self.connections,
            here,
            here,
            Pauses(verify=MINUTE, quarantine=30 * MINUTE, calm=15 * MINUTE, busy=2 * SECOND),
            MINUTE,
            lambda _: contextlib.nullcontext(),
            lambda: self.now + self.ahead,
            lambda: self.now,
        )
        await self.accounts.watch("r1", self.began - HOUR)
        assert await sweep_next(post)

    async def due(self) -> bool:
        """Whether the account will be swept again."""
        await self.accounts.swept(Swept("r1", None, frozenset()), self.began - HOUR)
        return await self.accounts.claim(MINUTE) is not None

    def shows(self, id: str, at: timedelta = SECOND, **over: Any) -> Seen:
        """An order is there; without more it is the one that the requests here want."""
        fields: dict[str, Any] = {
            "order": MarketplaceOrder(id=id, number=f"SO{id}", status="submitted"),
            "type": "sales",
            "customer_id": CUSTOMER,
            "po_number": "PO-1",
            "subscription_ids": (),
            "ordered_at": self.began + at,
            "lines": (OrderedLine("M", 5),),
        }
        seen = Seen(**{**fields, **over})
        self.shown = [one for one in self.shown if one.order.id != id] + [seen]
        return seen

    async def lost(self, id: str = IDS[0], **over: Any) -> None:
        """A request was sent, without a suffix to its number, and its answer got lost."""
        await self.sending(id, **over)
        unknown = Unknown("reset", True)
        await self.change(id, lambda p: rules.answered(p, unknown, self.began, SECOND))

    async def sending(self, id: str = IDS[0], **over: Any) -> None:
        """A request is being sent, without a suffix to its number."""
        wanted = license_request(id=id, **{"po_number_sent": "PO-1", **over})
        purchase, facts = rules.requested(wanted, "correlation-1", None, self.began)
        sent = rules.start_sending(
            purchase, self.began, self.began + 20 * SECOND, self.began + MINUTE
        )
        key = Request("user:requester", "POST", id, "digest")
        await self.requests.insert(sent, facts, CAUSE, key)

    async def change(self, id: str, decide: Callable[[Purchase], rules.Decision]) -> None:
        loaded = await self.requests.load(id)
        after, facts = decide(loaded.state)
        await self.requests.save(loaded, after, facts, CAUSE)

    async def connect(self, customer: str = CUSTOMER, *tenants: str) -> None:
        """The facts of tenants arrive that were connected when the test began."""
        names = tenants or ("t1",)
        await self.connections.keep([connected(one, customer, self.began) for one in names])

    async def of_others(self) -> list[str]:
        """What a tenant's list of orders shows that Purser did not place."""
        page = await self.views.orders("t1", None, 50)
        return sorted(order["id"] for order in page["items"])

    async def mirrored(self) -> set[str]:
        return set(await self.orders.known([seen.order.id for seen in self.shown]))

    async def phase(self, id: str = IDS[0]) -> tuple[str, list[str]]:
        """How far a request is, and what showed its order."""
        purchase = (await self.requests.load(id)).state
        return purchase.phase, [f"{e.order_id} {e.source}" for e in purchase.evidence]


def connected(id: str, customer: str, at: datetime) -> Envelope[TenantFact]:
    connection = Connection(
        marketplace="ingram-micro-xvantage",
        reseller_id="r1",
        marketplace_customer_id=customer,
        marketplace_customer_name="Northwind Traders",
        connected_at=at,
    )
    tenant = Tenant(
        id=id,
        customer_id=f"owner of {id}",
        entra_tenant_id="e1",
        name="Head office",
        domain="northwind.example",
        consent=Consent(status="granted"),
        marketplaces=("ingram-micro-xvantage",),
        connection=connection,
        registered_at=at,
    )
    told: Any = envelop(
        TenantConnected(state=tenant),
        source="purser/tenant-connection",
        subject=f"tenant/{id}",
        sequence=1,
        time=at,
        actor="user:admin",
        correlation_id="correlation-1",
    )
    return told


@pytest.fixture
def account(database: Database, outbox: Outbox, requests: store.Requests) -> Account:
    return Account(
        requests,
        store.Accounts(database),
        store.Orders(database, outbox),
        store.Connections(database),
        Views(database),
    )


async def test_orders_of_a_customer_that_is_known_much_later_are_mirrored_then(
    account: Account,
) -> None:
    account.shows("1", 10 * MINUTE)
    account.shows("2", 10 * MINUTE, customer_id="somebody else's")
    for at in (20 * MINUTE, 3 * HOUR, 6 * HOUR):
        await account.sweep(at)
    assert await account.mirrored() == set()
    await account.connect()
    await account.sweep(7 * HOUR)
    assert await account.mirrored() == {"1"}


async def test_a_connection_that_arrives_while_an_account_is_swept_is_not_passed_over(
    account: Account,
) -> None:
    account.shows("1", 10 * MINUTE)
    await account.sweep(20 * MINUTE)
    account.meanwhile = account.connect
    await account.sweep(3 * HOUR)
    await account.sweep(6 * HOUR)
    assert await account.mirrored() == {"1"}


async def test_what_is_accounted_for_is_not_listed_again(account: Account) -> None:
    await account.connect()
    account.shows("1", 10 * MINUTE)
    await account.sweep(20 * MINUTE)
    assert account.read == ["1"]
    account.shows("1", 10 * MINUTE, order=MarketplaceOrder(id="1", status="completed"))
    await account.sweep(75 * MINUTE)
    assert account.read == ["1", "1"]
    account.shows("1", 10 * MINUTE, order=MarketplaceOrder(id="1", status="cancelled"))
    await account.sweep(3 * HOUR)
    assert account.read == ["1", "1"]


async def test_a_sweep_that_is_wanted_while_one_goes_on_comes_at_once(account: Account) -> None:
    async def wanted() -> None:
        await account.accounts.watch("r1", real_now())

    account.meanwhile = wanted
    await account.sweep()
    assert await account.accounts.claim(MINUTE) is not None
    await account.accounts.extend("r1", real_now() + HOUR)
    assert await account.accounts.claim(MINUTE) is None


async def test_an_order_names_its_tenant_only_when_there_is_one(
    account: Account, database: Database
) -> None:
    await account.connect(CUSTOMER, "t1")
    await account.connect("1000004", "t2", "t3")
    account.shows("1")
    account.shows("2", customer_id="1000004")
    account.shows("3", customer_id="1000005")
    await account.sweep()
    assert await account.mirrored() == {"1", "2"}
    assert account.read == ["1", "2"]
    found = {
        d["_id"]: d["state"]["tenant_id"] for d in await database["orders"].find({}).to_list(None)
    }
    assert found == {"1": "t1", "2": None}


async def test_a_lost_order_is_found_by_what_it_says_when_its_number_is_a_persons(
    account: Account,
) -> None:
    await account.lost()
    await account.connect()
    await account.sweep()
    assert account.unresolved_ids == {IDS[0]}
    account.shows("1")
    await account.sweep(2 * SECOND)
    assert await account.phase() == (rules.PLACED, ["1 fingerprint"])
    assert account.unresolved_ids == set()
    assert await account.mirrored() == set()


@pytest.mark.parametrize("answer", [Taken, Refused])
async def test_an_order_that_may_be_on_its_way_is_not_shown_as_not_ours_before_its_answer(
    account: Account, answer: type
) -> None:
    await account.connect()
    account.shows("9", po_number="another")
    account.meanwhile = account.sending
    order = account.shows("1").order
    await account.sweep(2 * SECOND)
    assert await account.of_others() == ["9"]
    came = Taken(order) if answer is Taken else Refused(False, "no credit")
    await account.change(IDS[0], lambda p: rules.answered(p, came, account.began, SECOND))
    await account.sweep(15 * MINUTE)
    assert await account.of_others() == (["9"] if answer is Taken else ["1", "9"])


async def test_two_orders_that_fit_are_shown_and_left_to_a_person(account: Account) -> None:
    await account.lost()
    await account.connect()
    account.shows("1")
    account.shows("2")
    for at in (2 * SECOND, 2 * MINUTE):
        await account.sweep(at)
    assert await account.phase() == (rules.NEEDS_REVIEW, [])
    assert await account.mirrored() == {"1", "2"}


async def test_two_requests_that_an_order_fits_are_left_to_a_person(account: Account) -> None:
    await account.lost(IDS[0])
    await account.lost(IDS[1], tenant_id="t2")
    account.shows("1")
    await account.sweep(2 * MINUTE)
    for id in IDS:
        assert await account.phase(id) == (rules.NEEDS_REVIEW, [])


async def test_an_order_that_is_anothers_already_is_not_taken_for_a_second_request(
    account: Account,
) -> None:
    await account.lost(IDS[0])
    order = account.shows("1").order
    await account.change(IDS[0], lambda p: rules.answered(p, Taken(order), account.began, SECOND))
    await account.lost(IDS[1], tenant_id="t2")
    await account.sweep(2 * SECOND)
    assert await account.phase(IDS[1]) == (rules.VERIFYING, [])
    assert account.read == []


async def test_an_order_that_was_mirrored_before_it_fitted_is_linked_all_the_same(
    account: Account,
) -> None:
    await account.connect()
    account.shows("1")
    await account.sweep()
    assert await account.mirrored() == {"1"}
    await account.lost()
    await account.sweep(2 * SECOND)
    assert await account.phase() == (rules.PLACED, ["1 fingerprint"])
    assert await account.of_others() == []


async def test_an_order_that_a_person_linked_is_no_longer_shown_as_not_ours(
    account: Account,
) -> None:
    await account.lost()
    await account.connect()
    account.shows("1")
    other = account.shows("2").order
    await account.sweep(2 * MINUTE)
    assert await account.of_others() == ["1", "2"]
    await account.change(
        IDS[0], lambda p: review.link(p, other, "user:purchaser", "seen", account.now)
    )
    await account.sweep(3 * MINUTE)
    assert await account.of_others() == ["1"]


async def test_a_number_of_the_requests_own_links_its_order_and_no_renewal_of_it(
    account: Account,
) -> None:
    await account.lost(po_number_sent="PO-1-AAAA")
    await account.connect()
    account.shows("1", type="renewal", po_number="PO-1-AAAA")
    account.shows("2", po_number="PO-1-AAAA")
    account.shows("3")
    await account.sweep()
    assert await account.phase() == (rules.PLACED, ["2 reference"])
    assert await account.mirrored() == {"1", "3"}


async def test_an_order_whose_number_was_cut_is_found_on_the_day_that_business_time_has(
    account: Account,
) -> None:
    account.ahead = 30 * DAY
    await account.connect()
    await account.lost(po_number_sent="PO-1-AAAA")
    await account.change(IDS[0], lambda p: (replace(p, phase=rules.CANCELLED), ()))
    account.shows("1", 30 * DAY, po_number="PO-1-A")
    await account.sweep()
    assert await account.phase() == (rules.PLACED, ["1 fingerprint"])
    assert await account.mirrored() == set()


async def test_a_second_order_under_the_number_is_flagged(account: Account) -> None:
    await account.lost(po_number_sent="PO-1-AAAA")
    account.shows("1", po_number="PO-1-AAAA")
    await account.sweep()
    account.shows("2", po_number="PO-1-AAAA")
    await account.connect()
    await account.sweep(2 * SECOND)
    phase, evidence = await account.phase()
    assert phase == rules.DUPLICATE_SUSPECTED
    assert evidence == ["1 reference", "2 reference"]


async def test_an_order_that_an_answer_named_is_found_however_old_it_is(account: Account) -> None:
    await account.lost()
    await account.connect()

    def named(purchase: Purchase) -> rules.Decision:
        last = replace(purchase.attempt, named_order="SO9")
        return replace(purchase, attempts=(last,)), ()

    await account.change(IDS[0], named)
    account.shows("9", -1000 * HOUR)
    account.shows("8", -1000 * HOUR)
    await account.sweep()
    assert account.read == ["9"]
    assert await account.phase() == (rules.VERIFYING, [])
    assert await account.mirrored() == {"9"}


async def test_absence_is_noted_only_when_the_listings_show_what_must_be_there(
    account: Account,
) -> None:
    async def shown_absent_at() -> datetime | None:
        return (await account.requests.load(IDS[0])).state.absence_shown_at

    await account.lost()
    await account.sweep(2 * SECOND)
    assert await shown_absent_at() is None
    await account.connect()
    account.shows("1", po_number="another")
    await account.sweep(4 * SECOND)
    assert await shown_absent_at() is None
    await account.sweep(6 * SECOND)
    # the stand-in for MongoDB, like MongoDB, keeps milliseconds
    noted = await shown_absent_at()
    assert noted is not None
    assert abs(noted - (account.began + 6 * SECOND)) < timedelta(milliseconds=1)
    account.shown.clear()
    await account.sweep(8 * SECOND)
    assert await shown_absent_at() is None


async def test_a_request_that_was_given_up_takes_its_late_order(account: Account) -> None:
    await account.lost()
    await account.sweep(2 * MINUTE)
    await account.change(IDS[0], lambda p: review.give_up(p, "user:purchaser", "not seen"))
    account.shows("1", 10 * MINUTE)
    await account.sweep(20 * MINUTE)
    assert await account.phase() == (rules.PLACED, ["1 fingerprint"])


async def test_the_account_of_a_deleted_reseller_is_let_go_and_no_other(account: Account) -> None:
    account.missing = True
    with pytest.raises(NotFound):
        await account.sweep()
    assert await account.due()
    account.deleted = True
    await account.sweep()
    assert not await account.due()
