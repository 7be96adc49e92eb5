"""A service's process: connections opened in order, background work, and an end in order."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import APIRouter, FastAPI
from prometheus_client import Gauge

from purser_common import crash, jobs, kafka, logs, mongo, telemetry
from purser_common.clock import Clock
from purser_common.errors import Problem, Unavailable
from purser_common.identity import InternalTokens
from purser_common.outbox import Outbox, Publisher
from purser_common.settings import ServiceSettings
from purser_common.web import ops
from purser_common.web.app import build
from purser_common.web.calls import Peer, Transport

PATIENCE = 120.0

_log = logs.get(__name__)
_unserved = Gauge("mongo_unindexed_queries", "Queries that no declared index serves (local, test).")


class Process:
    """What a service runs on. Built once in `main`; everything that is wired hangs on it."""

    def __init__(
        self,
        name: str,
        settings: ServiceSettings,
        *,
        indexes: Sequence[mongo.Index] = (),
        outboxes: Iterable[str] = (),
        accepts: Iterable[str] = ("gateway",),
    ) -> None:
        logs.configure(name, settings.log_level)
        crash.arm(name, settings.crash)
        self.provider = telemetry.configure(name, settings.instance, settings.otlp_endpoint)
        self.name = name
        self.settings = settings
        self.clock = Clock()
        self.tokens = InternalTokens(name, settings.identity, accepts)
        self.http = httpx.AsyncClient(transport=Transport(), follow_redirects=False)
        self._indexes = indexes
        self._watch = mongo.IndexWatch(indexes)
        guarded = settings.environment != "production"
        self._client = mongo.connect(settings.mongo, [self._watch] if guarded else [])
        self.database = self._client[settings.mongo.database]
        self.producer = kafka.Producer(settings.kafka)
        self.publisher = Publisher(self.producer)
        self.outbox = Outbox(name, self.clock, self.publisher.nudge)
        self._outboxes = [self.database[collection] for collection in outboxes]
        self.broker = kafka.broker(settings.kafka)
        self._readers: dict[str, kafka.Reader] = {}
        self._jobs: list[jobs.Job] = []
        self._ending = asyncio.Event()
        self._consuming = asyncio.Event()
        self._background: list[Callable[[], Awaitable[None]]] = []
        self._ready = False
        if self._outboxes:
            self.job("outbox.sweep", self._sweep, every=2.0)

    @property
    def works(self) -> bool:
        """Whether consumers, jobs and the sweeper run in this process."""
        return self.settings.role in ("all", "worker")

    def peer(self, name: str, url: str) -> Peer:
        """Another service."""
        return Peer(name, url, self.http, self.tokens)

    def subscribe(self, purpose: str, handle: kafka.Handler, **options: Any) -> None:
        """Consume for a purpose; the group is `<service>.<purpose>`."""
        if not self._readers:
            self.job("kafka.measure", self._measure, every=20.0)
        group = f"{self.name}.{purpose}"
        self._readers[group] = kafka.subscribe(
            self.broker,
            group=group,
            instance=self.settings.instance,
            handle=handle,
            dead_letters=self.producer,
            **options,
        )

    def job(
        self, name: str, once: Callable[[], Awaitable[bool]], *, every: float, workers: int = 1
    ) -> jobs.Job:
        """Declare a job; the answer's `nudge` makes it look for work at once."""
        job = jobs.Job(name, once, every, workers)
        self._jobs.append(job)
        return job

    def alongside(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run this for as long as the process serves."""
        self._background.append(run)

    def app(self, title: str, description: str, routers: Iterable[APIRouter]) -> FastAPI:
        """The service's application; with ROLE=worker it answers health, metrics and operators only."""
        app = build(title, description, lifespan=self._lifespan, ready=self._is_ready)
        app.state.tokens = self.tokens
        app.state.operators = InternalTokens(self.name, self.settings.identity, (ops.OPERATOR,))
        app.include_router(ops.router(self._backstage()))
        if self.settings.role != "worker":
            for router in routers:
                app.include_router(router)
        return app

    def serve(self, app: FastAPI) -> None:
        """Serve until SIGTERM. A port that is taken is named."""
        config = uvicorn.Config(
            app,
            host=self.settings.http.host,
            port=self.settings.http.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=20,
            server_header=False,
        )
        uvicorn.Server(config).run()

    async def _is_ready(self) -> dict[str, Any]:
        if not self._ready:
            raise Unavailable(f"{self.name} is still starting", code="starting")
        try:
            await mongo.ping(self.database)
        except mongo.PyMongoError as error:
            raise Unavailable("the database is away", code="database_unavailable") from error
        _unserved.set(len(self._watch.unserved))
        return {
            "service": self.name,
            "instance": self.settings.instance,
            "clock_offset_seconds": self.clock.offset_seconds,
            "unindexed_queries": self._watch.unserved[:20],
        }

    def _backstage(self) -> ops.Backstage:
        return ops.Backstage(
            self.name,
            self.settings.kafka,
            self.database,
            self.publisher,
            self._outboxes,
            self._readers,
        )

    async def _measure(self) -> bool:
        await self._backstage().measure()
        return False

    async def _sweep(self) -> bool:
        await self.publisher.sweep(self._outboxes)
        return False

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        kafka.refuse_unsafe(self.broker.subscribers)
        await self._wait_for("MongoDB", lambda: mongo.ping(self.database))
        await self._wait_for("Kafka", lambda: kafka.reachable(self.settings.kafka))
        await self._wait_for(
            "MongoDB's indexes", lambda: mongo.declare_indexes(self.database, self._indexes)
        )
        tasks = [asyncio.create_task(self._guard(run)) for run in await self._running()]
        self._ready = True
        _log.info("ready", role=self.settings.role, port=self.settings.http.port)
        try:
            yield
        finally:
            self._ready = False
            await self._stop(tasks)

    async def _running(self) -> list[Callable[[], Awaitable[None]]]:
        running = [self.publisher.run, telemetry.watch_loop, *self._background]
        clock_url = self.settings.clock_url
        if clock_url and self.settings.environment != "production":
            await self._wait_for(
                "the sandbox's clock", lambda: self.clock.read(self.http, clock_url)
            )
            running.append(lambda: self.clock.follow(self.http, clock_url))
        if self.works:
            running += [lambda job=job: jobs.run(job) for job in self._jobs]  # type: ignore[misc]
            if self._readers:
                running.append(self._consume)
        return running

    async def _consume(self) -> None:
        try:
            await kafka.start(self.broker, self._ending)
        finally:
            self._consuming.set()
        await asyncio.Event().wait()

    async def _guard(self, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # Half a process is worse than none: end it, and let the supervisor start a whole one.
            _log.critical("background work ended", exc_info=error)
            sys.stdout.flush()
            raise SystemExit(70) from error

    async def _wait_for(self, what: str, probe: Callable[[], Awaitable[Any]]) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        told = False
        while True:
            try:
                await probe()
                return
            except (Problem, mongo.PyMongoError, httpx.HTTPError, kafka.KafkaError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    _log.error(f"gave up waiting for {what}", error=str(error))
                    raise SystemExit(69) from error
                if not told:
                    _log.warning(f"waiting for {what}", error=str(error))
                    told = True
                await asyncio.sleep(0.25)

    async def _stop(self, tasks: list["asyncio.Task[None]"]) -> None:
        self._ending.set()
        if self._readers and self.works:
            with contextlib.suppress(kafka.KafkaError, TimeoutError):
                async with asyncio.timeout(25):
                    # a consumer that is interrupted while it starts is never stopped
                    await self._consuming.wait()
                    await self.broker.stop()
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=10)
            if left:
                _log.warning("background work does not end", tasks=len(left))
        await self.producer.stop()
        await self.http.aclose()
        await mongo.close(self._client)
        self.provider.shutdown()
