"""The subscription service: where everything is wired."""

from datetime import timedelta

from fastapi import FastAPI

from purser_common.clock import real_now
from purser_common.settings import load
from purser_common.web import Process
from subscription_service import api, clients, consumers, store, views
from subscription_service.commands import Reader, refresh_next
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
    refreshes, connections = store.Refreshes(process.database), store.Connections(process.database)
    reader = Reader(
        store.Mirror(process.database, process.outbox),
        refreshes,
        clients.Marketplace(process.peer("reseller", settings.reseller_url), process.http),
        connections,
        timedelta(seconds=settings.lease_seconds),
        timedelta(seconds=settings.refresh_seconds),
        process.clock.now,
        real_now,
    )

    async def refresh() -> bool:
        return await refresh_next(reader)

    job = process.job("subscription.refresh", refresh, every=1.0, workers=2)
    consumers.declare(process, refreshes, connections, job.nudge)
    fresh = timedelta(seconds=settings.fresh_seconds)
    routes = api.router(views.Views(process.database), reader, fresh, real_now)
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
