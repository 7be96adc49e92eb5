"""Decisions about tenants: no order of steps leads anywhere else than the rules say."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from purser_common.errors import Invalid, Malformed, Problem
from purser_events.envelope import Fact
from purser_events.tenant import (
    Customer,
    TenantConnected,
    TenantConnectionChanged,
    TenantConsented,
    TenantConsentRevoked,
    TenantDisconnected,
    TenantFact,
)
from tenant_connection_service.clients import States
from tenant_connection_service.domain import connection, consent, customers, names, removal, tenants
from tenant_connection_service.domain.tenants import (
    Closing,
    ConsentAsked,
    ManagedTenant,
    PendingConnection,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CUSTOMER = Customer(id="c", name="Northwind Traders", added_at=NOW)
ENTRA = "0f8fad5b-d9cb-469f-a165-70867728950e"
MODULE = tenants.MARKETPLACES[0]


def register(
    entra: str = ENTRA, name: str = "Head office", host: str = "a.example.com"
) -> ManagedTenant:
    return tenants.registered("t", CUSTOMER, entra, name, host, NOW)[0]


def refusal(decide: Callable[[], object]) -> Problem | None:
    """Why something is refused; None when it is not."""
    try:
        decide()
    except Problem as problem:
        return problem
    return None


def wanting(chosen: int, settle_at: datetime = NOW) -> PendingConnection:
    return PendingConnection("r", f"customer-{chosen}", settle_at, "user:a", "correlation")


@given(entra=st.uuids())
def test_an_entra_tenant_id_is_kept_in_one_form(entra: object) -> None:
    assert register(str(entra).upper()).tenant.entra_tenant_id == str(entra)


@given(entra=st.text(max_size=40), name=st.text(max_size=300), host=st.text(max_size=300))
def test_registering_anything_works_or_names_the_field(entra: str, name: str, host: str) -> None:
    fields = {"/entra_tenant_id": entra, "/name": name, "/domain": host}
    good = {"/entra_tenant_id": ENTRA, "/name": "Head office", "/domain": "a.example.com"}
    refused = refusal(lambda: register(*fields.values()))
    named = {error.pointer for error in refused.errors} if refused else set()
    # What was not named is right: with the named fields mended it is taken.
    mended = {field: good[field] if field in named else given for field, given in fields.items()}
    assert 0 < len(register(*mended.values()).tenant.name) <= names.MAX_NAME
    assert refused is None or named


@given(name=st.text(min_size=1, max_size=50))
def test_a_name_survives_being_taken_twice(name: str) -> None:
    try:
        once = customers.added_customer("c", name, NOW)[0].name
    except Invalid:
        return
    assert customers.added_customer("c", once, NOW)[0].name == once


@given(
    state=st.text(max_size=200)
    | st.from_regex(r"[A-Za-z0-9_-]{0,60}\.[0-9a-f]{64}", fullmatch=True)
)
def test_no_made_up_state_is_read(state: str) -> None:
    with pytest.raises(Malformed):
        States(b"k" * 32).read(state, NOW)


@given(tenant=st.text(max_size=60), nonce=st.text(max_size=60), flip=st.integers(min_value=0))
def test_a_state_is_read_as_it_was_signed_and_not_when_a_character_differs(
    tenant: str, nonce: str, flip: int
) -> None:
    states = States(b"k" * 32)
    state = states.sign(tenant, nonce, NOW + timedelta(seconds=1))
    assert states.read(state, NOW) == (tenant, nonce)
    with pytest.raises(Malformed):
        states.read(state, NOW + timedelta(seconds=1))
    at = flip % len(state)
    other = "x" if state[at] != "x" else "y"
    with pytest.raises(Malformed):
        states.read(state[:at] + other + state[at + 1 :], NOW)


@pytest.mark.parametrize("key", [b"", b"short"])
def test_a_key_that_is_too_short_signs_nothing(key: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        States(key)


def connected() -> ManagedTenant:
    """A tenant with a connection."""
    added, _ = consent.added(register(), MODULE, NOW)
    pending = replace(added, pending=wanting(0))
    return connection.confirmed(pending, wanting(0), "A", NOW)[0]


@pytest.mark.parametrize("of", [tenants.DISCONNECT, tenants.REMOVE])
def test_what_somebody_else_has_taken_over_is_not_finished(of: str) -> None:
    mine = Closing(of, NOW, "user:a", "correlation")
    finish = {tenants.DISCONNECT: connection.disconnected, tenants.REMOVE: removal.removed}[of]
    for held in (None, replace(mine, actor="user:b")):
        taken_over = replace(connected(), closing=held)
        refused = refusal(lambda left=taken_over: finish(left, mine))  # type: ignore[misc]
        assert refused is not None
        assert refused.code == "connection_replaced"
    ended, facts = finish(replace(connected(), closing=mine), mine)
    assert ended.tenant.connection is None
    assert facts
    assert finish(ended, mine) == (ended, ())


class TenantLife(RuleBasedStateMachine):
    """Any steps in any order, refused ones included."""

    @initialize()
    def register(self) -> None:
        self.managed = register()
        self.minute = 0
        self.nonces = 0
        self.facts: list[Fact] = []
        self.proven = False

    @property
    def now(self) -> datetime:
        return NOW + timedelta(minutes=self.minute)

    def take(self, decision: tenants.Decision | None) -> None:
        if decision is None:
            return
        before, (self.managed, facts) = self.managed, decision
        # A state that a reader can see never changes without a fact, and the last fact carries it.
        assert bool(facts) or self.managed.tenant == before.tenant
        for fact in facts:
            assert isinstance(fact, TenantFact)
        if facts:
            assert isinstance(facts[-1], TenantFact)
            assert facts[-1].state == self.managed.tenant
        self.facts += facts

    @rule()
    def time_passes(self) -> None:
        self.minute += 1

    @precondition(lambda self: self.managed.tenant.status != "removed")
    @rule()
    def ask_consent(self) -> None:
        self.nonces += 1
        asked = ConsentAsked(f"n{self.nonces}", self.now + consent.STATE_LIFE, "correlation")
        self.take(consent.consent_requested(self.managed, asked))

    @rule(older=st.integers(0, 2), accepted=st.booleans())
    def microsoft_answers(self, older: int, accepted: bool) -> None:
        asked = self.managed.consent_asked
        nonce = f"n{self.nonces - older}"
        usable = asked is not None and asked.nonce == nonce and asked.answer is None
        refused = refusal(lambda: consent.open_request(self.managed, nonce))
        assert (refused is None) == usable
        if refused is not None:
            assert refused.code == "consent_state_used"
        elif accepted:
            self.proven = True
            self.take(consent.consented(self.managed, self.now))
        else:
            stood = self.managed.tenant.consent
            self.take(consent.declined(self.managed))
            left = self.managed.tenant.consent
            assert left.status == "missing" if stood.status != "granted" else left == stood

    @precondition(lambda self: self.managed.tenant.status != "removed")
    @rule()
    def microsoft_shows_no_consent(self) -> None:
        stood = self.managed.tenant.consent.status
        self.take(consent.found_revoked(self.managed))
        left = self.managed.tenant.consent
        assert left.status == ("revoked" if stood == "granted" else stood)
        assert left.granted_at is None

    @precondition(lambda self: self.managed.tenant.status != "removed")
    @rule()
    def add(self) -> None:
        self.proven = True  # the command asks Microsoft before it decides
        self.take(consent.added(self.managed, MODULE, self.now))

    @rule(chosen=st.integers(0, 1))
    def connect(self, chosen: int) -> None:
        wanted = wanting(chosen, self.now + timedelta(minutes=1))
        tenant, held = self.managed.tenant, self.managed.pending
        refused = refusal(lambda: self.take(connection.connecting(self.managed, wanted, self.now)))
        other = wanting(1 - chosen).marketplace_customer_id
        if tenant.status == "removed":
            expected = "tenant_removed"
        elif self.managed.closing:
            expected = "tenant_closing"
        elif not tenant.marketplaces:
            expected = "tenant_not_added"
        elif tenant.connection and tenant.connection.marketplace_customer_id == other:
            expected = "already_connected"
        elif held and held.marketplace_customer_id == other and self.now < held.settle_at:
            expected = "connection_pending"
        else:
            expected = None
        assert (refused.code if refused else None) == expected

    @rule(chosen=st.integers(0, 1))
    def change(self, chosen: int) -> None:
        before, closing = self.managed, self.close(tenants.CHANGE)
        to = wanting(chosen).marketplace_customer_id
        refused = refusal(
            lambda: self.take(connection.changing(self.managed, None, to, closing, self.now))
        )
        if before.tenant.connection is None:
            assert refused
        if refused is None and self.managed != before:
            assert self.managed.pending
            assert self.managed.pending.marketplace_customer_id == to

    @rule(chosen=st.integers(0, 1))
    def confirm(self, chosen: int) -> None:
        wanted, before = wanting(chosen), self.managed
        refused = refusal(
            lambda: self.take(connection.confirmed(self.managed, wanted, "A", self.now))
        )
        if refused is not None:
            assert refused.code == "connection_replaced"
            return
        tie = self.managed.tenant.connection
        assert tie is not None
        assert tie.marketplace_customer_id == wanted.marketplace_customer_id
        moves = before.pending is not None and before.tenant.connection is not None
        assert not moves or (before.closing and before.closing.of == tenants.CHANGE)

    @rule(chosen=st.integers(0, 1))
    def withdraw(self, chosen: int) -> None:
        self.take(connection.withdrawn(self.managed, wanting(chosen)))

    @rule(of=st.sampled_from([tenants.DISCONNECT, tenants.REMOVE]))
    def begin_to_let_go(self, of: str) -> None:
        begin = {
            tenants.DISCONNECT: connection.disconnecting,
            tenants.REMOVE: removal.removing,
        }[of]
        before, closing = self.managed, self.close(of)
        refused = refusal(lambda: self.take(begin(self.managed, closing, self.now)))
        if refused is not None:
            assert refused.code in {"tenant_closing", "connection_pending"}
            assert self.managed == before

    def close(self, of: str) -> Closing:
        return Closing(of, self.now + timedelta(minutes=1), "user:a", "correlation")

    @rule(old=st.booleans())
    def finish(self, old: bool) -> None:
        closing = self.managed.closing
        if closing is None or closing.of == tenants.CHANGE:
            return
        mine = replace(closing, actor="user:another") if old else closing
        close = {tenants.DISCONNECT: connection.disconnected, tenants.REMOVE: removal.removed}
        before = self.managed
        refused = refusal(lambda: self.take(close[closing.of](self.managed, mine)))
        if old:  # somebody else has taken over meanwhile
            assert refused is not None
            assert (refused.code, self.managed) == ("connection_replaced", before)
            return
        assert refused is None
        assert self.managed.tenant.connection is None

    @rule()
    def reopen(self) -> None:
        if self.managed.closing is not None:
            tenant = self.managed.tenant
            self.take(connection.reopened(self.managed, self.managed.closing))
            assert (self.managed.closing, self.managed.tenant) == (None, tenant)

    @rule()
    def come_back(self) -> None:
        if self.managed.tenant.status == "removed":
            self.take(tenants.registered_again(self.managed, register(name="Anew")))
            assert self.managed.tenant.name == "Anew"

    @invariant()
    def nothing_is_skipped(self) -> None:
        tenant, closing = self.managed.tenant, self.managed.closing
        assert tenant.connection is None or tenant.marketplaces
        assert not tenant.marketplaces or self.proven
        assert tenant.consent.status != "granted" or self.proven
        moves = closing is not None and closing.of == tenants.CHANGE
        assert not (tenant.connection and self.managed.pending and not moves)

    @invariant()
    def what_is_removed_holds_nothing(self) -> None:
        if self.managed.tenant.status == "removed":
            assert self.managed == ManagedTenant(self.managed.tenant)
            assert not self.managed.tenant.marketplaces

    @invariant()
    def facts_and_connection_agree(self) -> None:
        tied = False
        for fact in self.facts:
            if isinstance(fact, TenantConnected | TenantDisconnected):
                assert tied == isinstance(fact, TenantDisconnected)
                tied = not tied
            assert not isinstance(fact, TenantConnectionChanged) or tied
        assert tied == (self.managed.tenant.connection is not None)

    @invariant()
    def the_last_fact_about_consent_tells_whether_it_stands(self) -> None:
        kinds = (TenantConsented, TenantConsentRevoked)
        told = [fact for fact in self.facts if isinstance(fact, kinds)]
        granted = bool(told) and isinstance(told[-1], TenantConsented)
        assert granted == (self.managed.tenant.consent.status == "granted")


test_no_order_of_steps_skips_one = TenantLife.TestCase
