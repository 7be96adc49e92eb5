"""Tenant-connection: where everything is wired."""

from datetime import timedelta

from fastapi import FastAPI

from purser_common.clock import real_now
from purser_common.identity import read_secret
from purser_common.settings import load
from purser_common.web import Process
from tenant_connection_service import clients, store, views
from tenant_connection_service.api import internal, tenants
from tenant_connection_service.commands import Office, settle_pending
from tenant_connection_service.settings import Settings


def build(settings: Settings) -> FastAPI:
    """Wire the service."""
    process = Process(
        "tenant-connection",
        settings,
        indexes=store.INDEXES,
        outboxes=store.OUTBOXES,
        accepts=("gateway", "order", "reseller", "subscription"),
    )
    microsoft = clients.Microsoft(
        process.http,
        settings.microsoft.login_url,
        settings.microsoft.graph_url,
        settings.microsoft.client_id,
        read_secret(settings.microsoft.client_secret_file),
        settings.consent_callback_url,
    )
    office = Office(
        store.Customers(process.database, process.outbox),
        store.Tenants(process.database, process.outbox),
        clients.Resellers(process.peer("reseller", settings.reseller_url)),
        microsoft,
        clients.States(settings.hmac_key_file.read_bytes()),
        process.clock.now,
        real_now,
    )

    async def settle() -> bool:
        return await settle_pending(office, timedelta(seconds=30))

    process.job("tenant-connection.settle", settle, every=5.0)
    shown = views.Views(process.database)
    app = process.app(
        "Purser tenant-connection",
        "Customers, tenants, consent and connection.",
        [tenants.router(office, shown), internal.router(office, shown)],
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
