"""The subscription service: where everything is wired."""

from datetime import timedelta

from fastapi import FastAPI

from purser_common.clock import real_now
from purser_common.settings import load
from purser_common.web import Process
from subscription_service import api, clients, consumers, store, views
from subscription_service.commands.reading import Reader
from subscription_service.commands.refreshing import refresh_next
from subscription_service.settings import Settings


def build(settings: Settings) -> FastAPI:
    """Wire the service."""
    process = Process(
        "subscription",
        settings,
        indexes=store.INDEXES,
        outboxes=store.OUTBOXES,
        accepts=("gateway", "order"),
    )
    database = process.database
    copies = consumers.Copies(
        store.Connections(database), store.Mappings(database), store.Prices(database)
    )
    reader = Reader(
        mirror=store.Mirror(database, process.outbox),
        refreshes=store.Refreshes(database),
        readings=store.Readings(database),
        findings=store.Findings(database, process.outbox),
        days=store.Days(database),
        marketplace=clients.Marketplace(
            process.peer("reseller", settings.reseller_url), process.http
        ),
        connections=copies.connections,
        prices=copies.prices,
        lease=timedelta(seconds=settings.lease_seconds),
        every=timedelta(seconds=settings.refresh_seconds),
        detail_every=timedelta(seconds=settings.detail_seconds),
        now=process.clock.now,
        real_now=real_now,
    )

    async def refresh() -> bool:
        return await refresh_next(reader)

    job = process.job("subscription.refresh", refresh, every=1.0, workers=2)
    consumers.declare(process, store.Refreshes(database), copies, job.nudge)
    fresh = timedelta(seconds=settings.fresh_seconds)
    routes = api.router(views.Views(database), reader, fresh, real_now)
    app = process.app(
        "Purser subscription service", "The mirror of marketplace subscriptions.", [routes]
    )
    app.state.process = process
    return app


def main() -> None:
    """Run the service."""
    app = build(load(Settings))
    process: Process = app.state.process
    process.serve(app)


if __name__ == "__main__":
    main()
