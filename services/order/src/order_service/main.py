"""The order service: where everything is wired."""

import asyncio
from datetime import timedelta

from fastapi import FastAPI

from order_service import api, clients, consumers, jobs, store, views
from order_service.commands.browsing import Shop
from order_service.commands.following import Lookout
from order_service.commands.requesting import Desk
from order_service.commands.sending import Counter, Times
from order_service.commands.spending import Purse
from order_service.commands.sweeping import Pauses, Post
from order_service.settings import Settings
from purser_common.clock import real_now
from purser_common.settings import load
from purser_common.web import Process


def build(settings: Settings) -> FastAPI:
    """Wire the service."""
    process = Process(
        "order",
        settings,
        indexes=store.INDEXES,
        outboxes=store.OUTBOXES,
        accepts=("gateway", "tenant-connection", "reseller"),
    )
    requests = store.Requests(process.database, process.outbox)
    accounts = store.Accounts(process.database)
    connections = store.Connections(process.database)
    copies = store.SubscriptionCopies(process.database)
    consumers.declare(process, connections, accounts, copies, requests)
    reseller = process.peer("reseller", settings.reseller_url)
    resellers = clients.Resellers(reseller, process.http, settings.answer_within_seconds)
    tenants = clients.Tenants(process.peer("tenant-connection", settings.tenant_connection_url))
    subscriptions = clients.Subscriptions(process.peer("subscription", settings.subscription_url))
    marketplace = clients.Marketplace(reseller, process.http)
    now = process.clock.now
    purse = Purse(store.Spending(process.database, process.outbox), resellers, now)
    desk = Desk(
        requests, accounts, resellers, tenants, subscriptions, marketplace, purse, now, real_now
    )
    counter = Counter(
        requests,
        accounts,
        resellers,
        tenants,
        marketplace,
        purse,
        _times(settings),
        real_now,
        asyncio.sleep,
        jobs.keeper(requests.extend, _times(settings).lease, real_now),
    )
    post = _post(process, settings, requests, accounts, connections, resellers)
    lookout = Lookout(requests, marketplace, _times(settings).lease, real_now)
    sender = jobs.declare(process, counter, lookout, post)
    jobs.declare_figures(process, requests, settings.review_within_seconds, real_now)
    shop = Shop(desk, clients.Storehouse(reseller), connections, copies, requests)
    routes = api.router(desk, post, purse, shop, views.Views(process.database), sender.nudge)
    app = process.app("Purser order service", "Licence change requests and their orders.", [routes])
    app.state.process = process
    return app


def _post(
    process: Process,
    settings: Settings,
    requests: store.Requests,
    accounts: store.Accounts,
    connections: store.Connections,
    resellers: clients.Resellers,
) -> Post:
    reseller = process.peer("reseller", settings.reseller_url)
    lease = timedelta(seconds=settings.lease_seconds)
    return Post(
        requests,
        accounts,
        store.Orders(process.database, process.outbox),
        connections,
        clients.Marketplace(reseller, process.http, for_reconciling=True),
        resellers,
        _pauses(settings),
        lease,
        jobs.keeper(accounts.extend, lease, real_now),
        process.clock.now,
        real_now,
    )


def _times(settings: Settings) -> Times:
    return Times(
        timedelta(seconds=settings.send_within_seconds),
        timedelta(seconds=settings.lease_seconds),
        timedelta(seconds=settings.retry_seconds),
    )


def _pauses(settings: Settings) -> Pauses:
    return Pauses(
        verify=timedelta(seconds=settings.verify_seconds),
        quarantine=timedelta(seconds=settings.quarantine_seconds),
        calm=timedelta(seconds=settings.sweep_seconds),
        busy=timedelta(seconds=settings.verify_every_seconds),
    )


def main() -> None:
    """Run the service."""
    settings = load(Settings)
    app = build(settings)
    process: Process = app.state.process
    process.serve(app)


if __name__ == "__main__":
    main()
