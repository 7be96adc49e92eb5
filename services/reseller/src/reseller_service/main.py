"""The reseller service: where everything is wired."""

import asyncio
import sys
import time
import uuid
from datetime import timedelta

from fastapi import FastAPI

from purser_common import mongo
from purser_common.clock import real_now
from purser_common.crypto import KeyDirectory, KeyMissing, SealBroken, Sealer
from purser_common.settings import load
from purser_common.telemetry import Cause
from purser_common.web import Process
from purser_common.web.process import PATIENCE
from reseller_service import jobs, store
from reseller_service.api import (
    accounts,
    buying,
    catalogue,
    internal,
    licenses,
    mapping,
    marketplaces,
    prices,
    resellers,
)
from reseller_service.clients.marketplace import Marketplace
from reseller_service.clients.references import References
from reseller_service.clients.standing import StandingOf
from reseller_service.commands.accounts import Gatekeeper
from reseller_service.commands.buying import Switch
from reseller_service.commands.catalogue import Window
from reseller_service.commands.health import Watch
from reseller_service.commands.mapping import Shelf
from reseller_service.commands.prices import PriceBook, review_plans
from reseller_service.commands.reading import ReadBudget
from reseller_service.commands.resellers import Registry
from reseller_service.commands.sending import Hop
from reseller_service.settings import Settings
from reseller_service.views import ProductViews, Views

AROUND_THE_ANSWER = 15.0
"""Seconds for connecting before the marketplace's answer and for storing what it was."""


def build(settings: Settings) -> FastAPI:
    """Wire the service. Raises KeyMissing when there is no key-encryption key."""
    process = Process(
        "reseller",
        settings,
        indexes=store.INDEXES,
        outboxes=store.OUTBOXES,
        accepts=("gateway", "order", "tenant-connection", "subscription"),
    )
    vault = _vault(settings)
    verifications = store.Verifications(process.database, vault)
    kept = store.Resellers(process.database, process.outbox, vault)
    standings = store.Accounts(process.database)
    watch = Watch(store.Health(process.database, process.outbox), process.clock.now)
    marketplace = _marketplace(process, settings, kept, standings, watch)
    references = References(
        process.peer("tenant-connection", settings.tenant_connection_url),
        process.peer("order", settings.order_url),
    )
    registry = _registry(process, settings, kept, verifications, marketplace, references, watch)
    book = _price_book(process, settings, kept, marketplace)
    shelf = _shelf(process, kept, marketplace, book, references)
    sends = jobs.Sends(settings.fence_seconds)
    stops = store.Stops(process.database, process.outbox)
    keeper = Gatekeeper(kept, stops, standings, settings.accounts, real_now)
    hop = _hop(process, settings, kept, keeper, marketplace, sends)
    if settings.role != "worker":
        process.alongside(sends.watch)
    jobs.declare(process, verifications, standings, stops, settings.accounts)
    jobs.declare_settling(process, registry)
    jobs.declare_looks(process, book.window, settings.catalogue.look_every_seconds)
    views, products = Views(process.database), ProductViews(process.database)
    routes = [
        marketplaces.router(settings.regions, views),
        resellers.router(registry, views, marketplace),
        licenses.router(shelf, book.window),
        mapping.router(shelf, views),
        catalogue.router(book.window, products),
        prices.router(book, products),
        buying.router(Switch(stops, kept, process.clock.now), views),
        accounts.router(keeper),
        internal.router(shelf, kept, hop, marketplace, sends),
    ]
    app = process.app(
        "Purser reseller service",
        "Resellers, licence mappings, the way to the marketplace.",
        routes,
    )
    app.state.process = process
    return app


def _marketplace(
    process: Process,
    settings: Settings,
    kept: store.Resellers,
    standings: store.Accounts,
    watch: Watch,
) -> Marketplace:
    return Marketplace(
        process.http,
        settings.regions,
        StandingOf(standings, watch, settings.accounts),
        ReadBudget(standings, settings.accounts, real_now),
        kept.account,
        settings.order_answer_seconds,
    )


def _registry(
    process: Process,
    settings: Settings,
    kept: store.Resellers,
    verifications: store.Verifications,
    marketplace: Marketplace,
    references: References,
    watch: Watch,
) -> Registry:
    return Registry(
        kept,
        verifications,
        marketplace,
        references,
        settings.regions,
        process.clock.now,
        real_now,
        timedelta(seconds=settings.settle_after_seconds),
        watch.proven,
    )


def _shelf(
    process: Process,
    kept: store.Resellers,
    marketplace: Marketplace,
    book: PriceBook,
    references: References,
) -> Shelf:
    return Shelf(
        store.Mappings(process.database, process.outbox),
        kept,
        marketplace,
        store.Catalogue(process.database),
        book.plans,
        references,
        store.published_licenses(),
        real_now,
    )


def _price_book(
    process: Process, settings: Settings, kept: store.Resellers, marketplace: Marketplace
) -> PriceBook:
    """Price plans over the window to the catalogue; each look at it reviews the reseller's plans."""
    looks, products = settings.catalogue, store.Catalogue(process.database)

    async def looked(reseller_id: str) -> None:
        await review_plans(book, reseller_id, Cause("service:reseller", str(uuid.uuid4())))

    window = Window(
        catalogue=products,
        syncs=store.Syncs(process.database),
        resellers=kept,
        marketplace=marketplace,
        looked=looked,
        now=real_now,
        every=timedelta(seconds=looks.sync_every_seconds),
        reread_after=timedelta(seconds=looks.reread_after_seconds),
    )
    plans = store.Plans(process.database, process.outbox)
    book = PriceBook(plans, products, window, process.clock.now)
    return book


def _hop(
    process: Process,
    settings: Settings,
    kept: store.Resellers,
    keeper: Gatekeeper,
    marketplace: Marketplace,
    sends: jobs.Sends,
) -> Hop:
    return Hop(
        credentials=kept,
        keeper=keeper,
        egress=store.Egress(process.database),
        sender=marketplace,
        fenced=lambda: sends.fenced,
        keep=sends.keep,
        now=real_now,
        place_seconds=settings.order_answer_seconds + AROUND_THE_ANSWER,
    )


def _vault(settings: Settings) -> store.Vault:
    return store.Vault(Sealer(KeyDirectory(settings.keys.kek_dir, settings.keys.active)))


async def _prove_keys(settings: Settings) -> None:
    """Open something sealed with each key that is in use, as soon as MongoDB answers."""
    vault = _vault(settings)
    client = mongo.connect(settings.mongo)
    deadline, told = time.monotonic() + PATIENCE, False
    try:
        while True:
            try:
                return await store.prove_keys(client[settings.mongo.database], vault)
            except mongo.PyMongoError as error:
                if not mongo.is_away(error) or time.monotonic() > deadline:
                    raise SystemExit(f"gave up waiting for MongoDB: {error}") from error
                if not told:
                    sys.stderr.write(f"waiting for MongoDB: {error}\n")
                told = True
    finally:
        await mongo.close(client)


def main() -> None:
    """Run the service."""
    settings = load(Settings)
    try:
        asyncio.run(_prove_keys(settings))
    except (KeyMissing, SealBroken, ValueError) as error:
        raise SystemExit(f"setting KEYS__KEK_DIR: {error}") from None
    app = build(settings)
    app.state.process.serve(app)


if __name__ == "__main__":
    main()
