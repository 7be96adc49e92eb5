"""What exists before anybody calls: accounts, Entra tenants, a past."""

import random
import secrets
import uuid
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from purser_sandbox.world.lifecycle import term_end
from purser_sandbox.world.records import (
    Customer,
    EntraTenant,
    Login,
    Order,
    OrderLine,
    Product,
    Reseller,
    Subscription,
    SubscriptionLine,
    Timing,
)
from purser_sandbox.world.state import World

COMPANIES = [
    "Northwind Traders", "Contoso", "Fabrikam", "Tailspin Toys", "Adventure Works",
    "Wide World Importers", "Litware", "Proseware", "Woodgrove Bank", "Alpine Ski House",
    "Coho Winery", "Lucerne Publishing",
]  # fmt: skip
SEEDED_MPNS = ["SIMBS:0001_P1Y:M", "SIMBP:0001_P1M:M", "SIME3:0001_P1Y:A", "SIMBB:0001_P1Y:M"]
REGIONS = {"eu": "eu", "na": "us"}
"""Region in the address and the marketplace code that its logins name."""
DISTRIBUTOR_ID = "1000001"


def seed(world: World) -> None:
    """Fills an empty world. The same settings give the same ids, names and credentials."""
    settings = world.settings
    now = world.clock.now()
    if world.next_id() != DISTRIBUTOR_ID:
        raise ValueError("only an empty world can be seeded")
    for number in range(settings.resellers):
        name = f"Sample Reseller {number + 1}"
        add_reseller(world, name, DISTRIBUTOR_ID, "eu", settings.customers)
    leaf = add_reseller(world, "Sample Leaf Reseller", DISTRIBUTOR_ID, "eu", settings.customers)
    _save_known_login(world, "distributor", "parent", DISTRIBUTOR_ID, now)
    _save_known_login(world, "leaf", "leaf", leaf.id, now)
    _seed_past(world, now)


def _save_known_login(
    world: World, name: str, kind: Literal["parent", "leaf"], account_id: str, now: datetime
) -> None:
    world.save(
        Login(
            id=name,
            kind=kind,
            account_id=account_id,
            region="eu",
            marketplace=REGIONS["eu"],
            username=name,
            password=f"{name}-password",
            subscription_key=f"{name}-key",
            created_at=now,
        )
    )


def add_reseller(
    world: World,
    name: str,
    parent_id: str | None,
    region: str,
    customers: int,
    *,
    timing: Timing | None = None,
    currency: str = "USD",
) -> Reseller:
    """A reseller with its customers and one Entra tenant for each."""
    key = world.next_id()
    reseller = Reseller(
        id=key,
        parent_id=parent_id,
        name=f"{name} {key}",
        region=region,
        external_id=f"RES-{key}",
        timing=timing,
        currency=currency,
    )
    world.save(reseller)
    for number in range(customers):
        _add_customer(world, reseller, number)
    return reseller


def _add_customer(world: World, reseller: Reseller, number: int) -> None:
    key = world.next_id()
    company = f"{COMPANIES[int(key) % len(COMPANIES)]} {key}"
    domain = f"customer{key}.onmicrosoft.com"
    world.save(
        Customer(
            id=key,
            reseller_id=reseller.id,
            region=reseller.region,
            name=company,
            external_id=f"CUST-{key}",
            address={
                "streetAddress": f"{number + 1} Example Street",
                "postalCode": "12345",
                "city": "Sampletown",
                "countryCode": "US",
                "state": "WA",
            },
            contact_persons=[
                {
                    "type": "admin",
                    "firstName": "Office",
                    "lastName": "Administrator",
                    "email": f"admin@{domain}",
                    "phoneNumber": "1#555#0100#",
                }
            ],
        )
    )
    world.save(
        EntraTenant(
            id=str(uuid.uuid5(uuid.NAMESPACE_DNS, domain)),
            domain=domain,
            display_name=company,
            customer_id=key,
        )
    )


def add_account(
    world: World,
    *,
    kind: Literal["parent", "leaf"],
    customers: int,
    resellers: int = 1,
    region: str = "eu",
    currency: str = "USD",
    timing: Timing | None = None,
) -> tuple[Login, list[Reseller]]:
    """A login of its own with resellers, customers and Entra tenants that no other login sees."""
    account_id = world.next_id()
    rows = [
        add_reseller(world, "Reseller", account_id, region, customers,
                     timing=timing, currency=currency)
        for _ in range(resellers if kind == "parent" else 1)
    ]  # fmt: skip
    login = Login(
        id=f"login-{account_id}",
        kind=kind,
        account_id=account_id if kind == "parent" else rows[0].id,
        region=region,
        marketplace=REGIONS[region],
        username=f"user-{account_id}",
        password=secrets.token_urlsafe(12),
        subscription_key=secrets.token_hex(16),
        created_at=world.clock.now(),
    )
    world.save(login)
    return login, rows


def _seed_past(world: World, now: datetime) -> None:
    settings = world.settings
    by_reseller: dict[str, list[Customer]] = {}
    for customer in world.customers.values():
        by_reseller.setdefault(customer.reseller_id, []).append(customer)
    buyers = [row for rows in by_reseller.values() for row in rows[1:]]
    chance = random.Random(1)  # noqa: S311 - a repeatable past, not a secret
    for number in range(settings.subscriptions):
        product = world.catalogue.by_mpn(SEEDED_MPNS[number % len(SEEDED_MPNS)])[0]
        days = (3, 45, 200, 12)[number % 4]
        _past_purchase(world, buyers[number % len(buyers)], product, 5 + number, now, days)
    for number in range(settings.removed_subscriptions):
        product = world.catalogue.by_mpn("SIMBP:0001_P1M:M")[0]
        row = _past_purchase(
            world, buyers[number % len(buyers)], product, 1 + number % 40, now, 60 + number % 900,
            status="removed",
        )  # fmt: skip
        world.save(row)
    for rows in by_reseller.values():
        _odd_rows(world, rows[-1], now)
    subscriptions = list(world.subscriptions.values())
    for number in range(settings.orders if subscriptions else 0):
        _past_order(world, chance.choice(subscriptions), now, chance, number)


def _past_purchase(
    world: World, customer: Customer, product: Product, quantity: int, now: datetime, days: int,
    *, status: str = "active",
) -> Subscription:  # fmt: skip
    key = world.next_id()
    tenant = world.tenants_of(customer.id)[0]
    bought = now - timedelta(days=days)
    start, end = bought.date(), term_end(bought.date(), product.subscription_period)
    while end <= now.date() and status == "active":
        start, end = end, term_end(end, product.subscription_period)
    order = _completed_order(world, customer, product, quantity, bought, key)
    subscription = Subscription(
        id=key,
        customer_id=customer.id,
        reseller_id=customer.reseller_id,
        name=world.catalogue.plans[product.plan_id].name,
        status=status,
        plan_id=product.plan_id,
        billing_model=product.billing_model,
        billing_period=product.billing_period,
        subscription_period=product.subscription_period,
        created_at=bought,
        committed_at=bought if start == bought.date() else now - (now.date() - start),
        renewal_date=end,
        expiration_date=end,
        modified_on=start,
        attributes={"PONumber": f"PO-{key}"},
        lines=[
            SubscriptionLine(
                product_id=product.id,
                quantity=quantity,
                vendor_subscription_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"seed/{key}")),
            )
        ],
        order_parameters=[{"name": "microsoft_domain", "value": tenant.domain}],
        tenant_id=tenant.id,
    )
    world.save(subscription)
    world.save(order)
    return subscription


def _completed_order(
    world: World, customer: Customer, product: Product, quantity: int, bought: datetime, key: str
) -> Order:
    return Order(
        id=world.next_id(),
        number=world.lifecycle.next_number("sales"),
        type="sales",
        customer_id=customer.id,
        reseller_id=customer.reseller_id,
        created_at=bought,
        timing=Timing(submitted_seconds=0, processing_seconds=0),
        po_number=f"PO-{key}",
        lines=[OrderLine(product_id=product.id, quantity=Decimal(quantity), subscription_id=key)],
        subscription_id=key,
        tenant_id=world.tenants_of(customer.id)[0].id,
        total=product.row(Decimal(quantity)).price * quantity,
        status="completed",
        status_code="CP",
        provisioned_at=bought + timedelta(minutes=4),
    )


def _odd_rows(world: World, customer: Customer, now: datetime) -> None:
    """Rows that live accounts were seen to hold: a removed perpetual licence that expires in ten
    years, absent dates, `unknown`, and a status outside the enum."""
    perpetual = world.catalogue.by_mpn("SIMWIN:0001")[0]
    monthly = world.catalogue.by_mpn("SIMBB:0001_P1M:M")[0]
    removed = _past_purchase(world, customer, perpetual, 2, now, 100, status="removed")
    removed.renewal_date, removed.renewal_status = None, False
    bare = _past_purchase(world, customer, monthly, 1, now, 20, status="unknown")
    bare.renewal_date = bare.expiration_date = bare.billing_model = None
    foreign = _past_purchase(world, customer, monthly, 1, now, 10, status="awaitingVendor")
    for row in (removed, bare, foreign):
        world.save(row)


def _past_order(
    world: World, subscription: Subscription, now: datetime, chance: random.Random, number: int
) -> None:
    created = now - timedelta(minutes=chance.randrange(60, 60 * 24 * 700))
    order_type = "renewal" if number % 10 < 7 else "change"
    line = subscription.lines[0]
    world.save(
        Order(
            id=world.next_id(),
            number=world.lifecycle.next_number(order_type),
            type=order_type,
            customer_id=subscription.customer_id,
            reseller_id=subscription.reseller_id,
            created_at=created,
            timing=Timing(submitted_seconds=0, processing_seconds=0),
            po_number=subscription.attributes.get("PONumber"),
            lines=[]
            if order_type == "renewal"
            else [
                OrderLine(
                    product_id=line.product_id,
                    quantity=Decimal(line.quantity),
                    before=Decimal(max(line.quantity - 1, 0)),
                    subscription_id=subscription.id,
                )
            ],
            subscription_id=subscription.id,
            status="completed",
            status_code="CP",
            provisioned_at=created + timedelta(minutes=5),
        )
    )
