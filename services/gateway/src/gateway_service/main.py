"""The gateway: where everything is wired."""

from fastapi import FastAPI

from gateway_service import clients, consumers, store, views
from gateway_service.api import contract, own, passthrough, reading
from gateway_service.api.entrance import Entrance
from gateway_service.commands import appoint_first_admins
from gateway_service.settings import Settings
from purser_common.identity import OidcVerifier
from purser_common.settings import load
from purser_common.web import Process


def build(settings: Settings) -> FastAPI:
    """Wire the gateway."""
    process = Process(
        "gateway", settings, indexes=store.INDEXES, outboxes=store.OUTBOXES, accepts=()
    )
    assignments = store.Assignments(process.database, process.outbox)
    answers = store.Answers(process.database)
    model = store.Model(process.database)
    entrance = Entrance(
        OidcVerifier(process.http, settings.oidc.issuer, settings.oidc.audience),
        assignments,
        store.Actions(process.database, process.outbox),
        answers,
        model,
        settings.hmac_key_file.read_bytes(),
        process.clock.now,
    )
    peers = {
        "reseller": settings.reseller_url,
        "tenant-connection": settings.tenant_connection_url,
        "subscription": settings.subscription_url,
        "order": settings.order_url,
        "audit": settings.audit_url,
    }
    owners = clients.Owners({name: process.peer(name, url) for name, url in peers.items()})
    consumers.declare(process, model)

    async def forget() -> bool:
        await answers.sweep()
        return False

    async def appoint() -> None:
        await appoint_first_admins(assignments, settings.bootstrap_admins, process.clock.now())

    process.job("gateway.forget-answers", forget, every=600)
    process.alongside(appoint)
    process.alongside(model.complete)
    reads = views.Views(process.database)
    routers = [
        reading.router(entrance, reads),
        passthrough.router(entrance, owners, reads),
        own.router(entrance, assignments, reads, process.clock.now),
    ]
    app = process.app("Purser", "Licences of a managed service provider's customers.", routers)
    contract.install(app)
    app.state.process = process
    return app


def main() -> None:
    """Run the gateway."""
    app = build(load(Settings))
    process: Process = app.state.process
    process.serve(app)


if __name__ == "__main__":
    main()
