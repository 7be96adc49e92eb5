"""A small service on the whole chassis, for tests to kill: customers, and copies of what is told of them.

While the file HOLD exists, a handler stays where it is.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response

from purser_common import outbox, telemetry
from purser_common.clock import real_now
from purser_common.errors import NotFound
from purser_common.mongo import DuplicateKeyError
from purser_common.settings import ServiceSettings, load
from purser_common.web import CallerOf, CauseOf, Process, RequestOf, answer
from purser_events.envelope import Envelope
from purser_events.tenant import Customer, CustomerAdded


class Settings(ServiceSettings):
    """Its name, and where it is told to hold."""

    name: str
    hold: Path


def routes(process: Process) -> APIRouter:
    """Adding and reading customers."""
    router = APIRouter()
    customers = process.database["customers"]

    @router.post("/v1/customers", status_code=202)
    async def add(
        body: dict[str, str], _: CallerOf, cause: CauseOf, keyed: RequestOf, response: Response
    ) -> Customer:
        state = Customer(id=keyed.id(), name=body["name"], added_at=process.clock.now())
        fields = {"state": state.model_dump(mode="json")}
        try:
            await process.outbox.insert(
                customers, state.id, fields, [CustomerAdded(state=state)], cause, keyed
            )
        except DuplicateKeyError:
            outbox.replayed(await customers.find_one({"_id": state.id}) or {}, keyed)
        return answer(response, f"customer/{state.id}", 1, state)

    @router.get("/v1/customers/{id}")
    async def one(id: str, _: CallerOf) -> Customer:
        document = await customers.find_one({"_id": id})
        if document is None:
            raise NotFound("no such customer")
        return Customer.model_validate(document["state"])

    return router


def consume(process: Process, hold: Path) -> None:
    """Keep the newest state of each subject, and a note of every time that a handler began."""
    begun, copies = process.database["begun"], process.database["copies"]

    async def copy(envelopes: Sequence[Envelope[Any]]) -> None:
        for envelope in envelopes:
            who = {"pid": os.getpid(), "trace": telemetry.trace_id(), "at": real_now()}
            await begun.insert_one({"subject": envelope.subject, **who})
            await asyncio.to_thread(_held, hold)
            try:
                await copies.update_one(
                    {"_id": envelope.subject, "sequence": {"$lt": envelope.sequence}},
                    {"$set": {"sequence": envelope.sequence}, "$inc": {"applied": 1}},
                    upsert=True,
                )
            except DuplicateKeyError:
                continue

    process.subscribe("copies", copy, facts=[CustomerAdded])


def _held(hold: Path) -> None:
    while hold.exists():
        time.sleep(0.02)


def build(settings: Settings) -> FastAPI:
    """Wire the service."""
    process = Process(
        settings.name, settings, indexes=outbox.indexes("customers"), outboxes=("customers",)
    )
    consume(process, settings.hold)
    app = process.app("Customers", "For tests.", [routes(process)])
    app.state.process = process
    return app


if __name__ == "__main__":
    application = build(load(Settings))
    application.state.process.serve(application)
