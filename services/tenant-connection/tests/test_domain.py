"""Decisions about tenants: no order of steps leads anywhere else than the rules say."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from purser_common.errors import Invalid, Malformed, Problem
from purser_events.envelope import Fact
from purser_events.tenant import (
    Customer,
    TenantConnected,
    TenantConsented,
    TenantConsentRevoked,
    TenantFact,
)
from tenant_connection_service import domain
from tenant_connection_service.clients import States
from tenant_connection_service.domain import ConsentAsked, ManagedTenant, PendingConnection

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CUSTOMER = Customer(id="c", name="Northwind Traders", added_at=NOW)
ENTRA = "0f8fad5b-d9cb-469f-a165-70867728950e"
MODULE = domain.MARKETPLACES[0]


def register(
    entra: str = ENTRA, name: str = "Head office", host: str = "a.example.com"
) -> ManagedTenant:
    return domain.registered("t", CUSTOMER, entra, name, host, NOW)[0]


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
    assert 0 < len(register(*mended.values()).tenant.name) <= domain.MAX_NAME
    assert refused is None or named


@given(name=st.text(min_size=1, max_size=50))
def test_a_name_survives_being_taken_twice(name: str) -> None:
    try:
        once = domain.added_customer("c", name, NOW)[0].name
    except Invalid:
        return
    assert domain.added_customer("c", once, NOW)[0].name == once


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

    def take(self, decision: domain.Decision | None) -> None:
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

    @rule()
    def ask_consent(self) -> None:
        self.nonces += 1
        asked = ConsentAsked(f"n{self.nonces}", self.now + domain.STATE_LIFE, "correlation")
        self.take(domain.consent_requested(self.managed, asked))

    @rule(older=st.integers(0, 2), accepted=st.booleans())
    def microsoft_answers(self, older: int, accepted: bool) -> None:
        asked = self.managed.consent_asked
        nonce = f"n{self.nonces - older}"
        usable = asked is not None and older == 0 and not asked.answered
        refused = refusal(lambda: domain.open_request(self.managed, nonce))
        assert (refused is None) == usable
        if refused is not None:
            assert refused.code == "consent_state_used"
        elif accepted:
            self.proven = True
            self.take(domain.consented(self.managed, self.now))
        else:
            stood = self.managed.tenant.consent
            self.take(domain.declined(self.managed))
            left = self.managed.tenant.consent
            assert left.status == "missing" if stood.status != "granted" else left == stood

    @rule()
    def microsoft_shows_no_consent(self) -> None:
        stood = self.managed.tenant.consent.status
        self.take(domain.found_revoked(self.managed))
        left = self.managed.tenant.consent
        assert left.status == ("revoked" if stood == "granted" else stood)
        assert left.granted_at is None

    @rule()
    def add(self) -> None:
        self.proven = True  # the command asks Microsoft before it decides
        self.take(domain.added(self.managed, MODULE, self.now))

    @rule(chosen=st.integers(0, 1))
    def connect(self, chosen: int) -> None:
        wanted = wanting(chosen, self.now + timedelta(minutes=1))
        tenant, held = self.managed.tenant, self.managed.pending
        refused = refusal(lambda: self.take(domain.connecting(self.managed, wanted, self.now)))
        other = wanting(1 - chosen).marketplace_customer_id
        if not tenant.marketplaces:
            expected = "tenant_not_added"
        elif tenant.connection and tenant.connection.marketplace_customer_id == other:
            expected = "already_connected"
        elif held and held.marketplace_customer_id == other and self.now < held.settle_at:
            expected = "connection_pending"
        else:
            expected = None
        assert (refused.code if refused else None) == expected

    @rule(chosen=st.integers(0, 1))
    def confirm(self, chosen: int) -> None:
        wanted, held = wanting(chosen), self.managed.pending
        refused = refusal(lambda: self.take(domain.connected(self.managed, wanted, "A", self.now)))
        if refused is not None:
            assert refused.code in {"already_connected", "connection_replaced"}
            return
        connection = self.managed.tenant.connection
        assert connection is not None
        assert connection.marketplace_customer_id == wanted.marketplace_customer_id
        assert held is None or held.marketplace_customer_id == wanted.marketplace_customer_id

    @rule(chosen=st.integers(0, 1))
    def withdraw(self, chosen: int) -> None:
        self.take(domain.withdrawn(self.managed, wanting(chosen)))

    @invariant()
    def nothing_is_skipped(self) -> None:
        tenant = self.managed.tenant
        assert tenant.connection is None or tenant.marketplaces
        assert not tenant.marketplaces or self.proven
        assert tenant.consent.status != "granted" or self.proven
        assert not (tenant.connection and self.managed.pending)

    @invariant()
    def a_tenant_is_connected_once(self) -> None:
        assert sum(isinstance(fact, TenantConnected) for fact in self.facts) <= 1

    @invariant()
    def the_last_fact_about_consent_tells_whether_it_stands(self) -> None:
        kinds = (TenantConsented, TenantConsentRevoked)
        told = [fact for fact in self.facts if isinstance(fact, kinds)]
        granted = bool(told) and isinstance(told[-1], TenantConsented)
        assert granted == (self.managed.tenant.consent.status == "granted")


test_no_order_of_steps_skips_one = TenantLife.TestCase
