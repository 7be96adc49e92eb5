"""Tenant-connection: where everything is wired."""

from datetime import timedelta

from fastapi import FastAPI

from purser_common.clock import real_now
from purser_common.identity import read_secret
from purser_common.settings import load
from purser_common.web import Process
from tenant_connection_service import api, clients, jobs, store
from tenant_connection_service.commands.ports import Office
from tenant_connection_service.settings import Settings
from tenant_connection_service.views import Views


def build(settings: Settings) -> FastAPI:
    """Wire the service. Raises OSError for a key or secret file that is not there, ValueError."""
    process = Process(
        "tenant-connection",
        settings,
        indexes=store.INDEXES,
        outboxes=store.OUTBOXES,
        accepts=("gateway", "order", "reseller"),
    )
    microsoft = clients.Microsoft(
        process.http,
        settings.microsoft.login_url,
        settings.microsoft.graph_url,
        settings.microsoft.client_id,
        read_secret(settings.microsoft.client_secret_file),
        settings.consent_callback_url,
    )
    reseller = process.peer("reseller", settings.reseller_url)
    office = Office(
        store.Customers(process.database, process.outbox),
        store.Tenants(process.database, process.outbox),
        clients.Resellers(reseller),
        clients.Marketplace(reseller, process.http),
        clients.Orders(process.peer("order", settings.order_url)),
        microsoft,
        clients.States(settings.hmac_key_file.read_bytes()),
        process.clock.now,
        real_now,
        timedelta(seconds=settings.settle_after_seconds),
    )
    jobs.declare(process, office)
    views = Views(process.database)
    app = process.app(
        "Purser tenant-connection service",
        "Customers, their tenants, consent, and the connection to marketplace customers.",
        [api.router(office, views)],
    )
    app.state.process = process
    return app


def main() -> None:
    """Run the service."""
    settings = load(Settings)
    try:
        app = build(settings)
    except (OSError, ValueError) as error:
        raise SystemExit(f"a key or secret file cannot be used: {error}") from None
    process: Process = app.state.process
    process.serve(app)


if __name__ == "__main__":
    main()
