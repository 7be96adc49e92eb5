"""What operators ask of a service: facts that wait for Kafka, and records that were put aside.

Every service offers it in every role, to the operator's key alone. A replay runs the group's own reader
and handler here, where its database is; nothing is published again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from prometheus_client import Gauge
from pydantic import BaseModel, ConfigDict, Field, model_validator

from purser_common import kafka, logs, settings
from purser_common.clock import real_now
from purser_common.errors import Invalid, NotFound, Problem, Unavailable
from purser_common.identity import Caller, InternalTokens
from purser_common.kafka import dead_letters
from purser_common.kafka.dead_letters import Letter
from purser_common.mongo import Collection, Database, DuplicateKeyError
from purser_common.outbox import Publisher
from purser_common.web.redaction import readable, redacted
from purser_common.web.requests import bearer
from purser_events.envelope import TYPE_HEADER

OPERATOR = "operator"
SETTLED = "settled_dead_letters"
MOST = 100
"""How many letters or documents one call handles."""

_log = logs.get(__name__)
_waiting = Gauge("dlq_waiting", "Records put aside that nobody has settled.", ["group"])
_lag = Gauge("consumer_lag_records", "Records that a group has not handled yet.", ["group"])


class Ask(BaseModel):
    """What an operator sends; an unknown field is an error that names it."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(default=False, description="Tell what would happen; change nothing.")


class Replay(Ask):
    """Which letters are handled again: one, those of a key, or all that wait."""

    id: str | None = None
    key: str | None = None
    all: Literal[True] | None = None
    group: str | None = Field(default=None, description="With `key` or `all`: only this group's.")
    after: str | None = Field(default=None, description="Only letters after this one, in order.")

    @model_validator(mode="after")
    def _one_choice(self) -> "Replay":
        if sum(choice is not None for choice in (self.id, self.key, self.all)) != 1:
            raise ValueError("name exactly one of id, key and all")
        return self


class Discard(Ask):
    """One letter that nothing will ever make readable, and why it may be left."""

    id: str
    reason: str = Field(min_length=1, max_length=1_000)


@dataclass
class Backstage:
    """What a service has for its operators."""

    service: str
    config: settings.Kafka
    database: Database
    publisher: Publisher
    outboxes: Sequence[Collection]
    readers: Mapping[str, kafka.Reader]
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    # --- facts that wait

    async def pending(self, limit: int) -> dict[str, Any]:
        """The documents whose facts wait for Kafka, oldest first."""
        now, found, documents = real_now(), [], 0
        for collection in self.outboxes:
            waiting = {"outbox_since": {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}}
            documents += await collection.count_documents(waiting)
            fields = {"outbox.topic": 1, "outbox_since": 1}
            query = collection.find(waiting, fields).sort([("outbox_since", 1)]).limit(limit)
            for one in await query.to_list(limit):
                topics = [entry["topic"] for entry in one.get("outbox", ())]
                age = (now - one["outbox_since"]).total_seconds()
                place = {"collection": collection.name, "id": one["_id"]}
                found.append({**place, "topics": topics, "age_seconds": round(age, 1)})
        found.sort(key=lambda one: -one["age_seconds"])
        oldest = found[0]["age_seconds"] if found else 0
        items = found[:limit]
        return {
            "service": self.service,
            "documents": documents,
            "oldest_seconds": oldest,
            "items": items,
        }

    async def publish(self, dry_run: bool) -> dict[str, Any]:
        """Publish what waits now, oldest first; stops where Kafka does not answer."""
        waiting = await self.pending(MOST)
        published, trouble = [], None
        for one in [] if dry_run else waiting["items"]:
            collection = next(c for c in self.outboxes if c.name == one["collection"])
            try:
                one["facts"] = await self.publisher.publish(collection, one["id"])
            except Unavailable as error:
                trouble = error.detail
                break
            published.append(one)
        left = (await self.pending(1))["documents"]
        items = waiting["items"] if dry_run else published
        return {"service": self.service, "items": items, "left": left, "trouble": trouble}

    # --- records that were put aside

    async def letters(
        self, group: str | None, key: str | None, after: str | None, settled: bool = False
    ) -> tuple[list[Letter], bool]:
        """Up to MOST letters that wait, or settled ones too, in order; and whether there are more.

        The order is that of group, partition and offset. Raises Invalid for another's group.
        """
        if group and group not in self.readers:
            known = ", ".join(self.readers) or "none"
            raise Invalid(f"this service has no group {group}; its groups: {known}")
        passed = dead_letters.parsed(after) if after else ("", 0, 0)
        found: list[Letter] = []
        for name in sorted([group] if group else self.readers):
            done = set() if settled else await self._settled(name)

            def wanted(letter: Letter, done: set[str] = done) -> bool:
                place = (letter.group, letter.partition, letter.offset)
                return place > passed and letter.id not in done and key in (None, letter.key)

            room = MOST - len(found)
            more, left = await dead_letters.letters(self.config, name, wanted, room)
            found += more
            if left:
                return found, True
        return found, False

    async def letter(self, id: str) -> Letter:
        """One letter of this service's groups. Raises NotFound."""
        if dead_letters.parsed(id)[0] not in self.readers:
            raise NotFound("there is no such dead letter here")
        return await dead_letters.letter(self.config, id)

    async def replay(self, ask: Replay, by: str) -> dict[str, Any]:
        """Handle letters again; what fails again stays, and an outage ends the replay."""
        if ask.id is not None:
            chosen, more = [await self.letter(ask.id)], False
        else:
            chosen, more = await self.letters(ask.group, ask.key, ask.after)
        items = []
        async with self.turn:
            for letter in chosen:
                told = {**summary(letter), "outcome": "would be replayed"}
                if not ask.dry_run:
                    told |= await self._handle(letter, by)
                items.append(told)
                if told["outcome"] == "waits":
                    break
        return {"service": self.service, "items": items, "more": more}

    async def discard(self, ask: Discard, by: str) -> dict[str, Any]:
        """Settle a letter without handling it."""
        letter = await self.letter(ask.id)
        if not ask.dry_run:
            await self._settle(letter, "discarded", by, ask.reason)
        outcome = "would be discarded" if ask.dry_run else "discarded"
        return {**summary(letter), "outcome": outcome}

    async def show(self, id: str) -> dict[str, Any]:
        """Everything about a letter but the secrets in it."""
        letter = await self.letter(id)
        record = await dead_letters.whole(self.config, letter)
        return {
            **summary(letter),
            "about": redacted(letter.about),
            "headers": [_header(name, text) for name, text in record.headers],
            "value": readable(record.value or b""),
            "defects": self.readers[letter.group].defects(record),
            **await self.ending(letter),
        }

    async def ending(self, letter: Letter) -> dict[str, str]:
        """How a letter was settled, when, by whom and why; nothing while it waits."""
        mark = await self.database[SETTLED].find_one({"_id": letter.id})
        if mark is None:
            return {}
        fields = ("outcome", "by", "reason")
        return {**{name: mark[name] for name in fields}, "settled_at": mark["at"].isoformat()}

    async def measure(self) -> None:
        """Set the figures of this service's groups. Raises Unavailable."""
        for group, total in (await dead_letters.counts(self.config, list(self.readers))).items():
            _waiting.labels(group).set(max(0, total - len(await self._settled(group))))
        topics = {group: reader.topics for group, reader in self.readers.items()}
        for group, lag in (await dead_letters.lags(self.config, topics)).items():
            _lag.labels(group).set(lag)

    async def _handle(self, letter: Letter, by: str) -> dict[str, str]:
        try:
            record = await dead_letters.whole(self.config, letter)
            known = await self.readers[letter.group].again(record)
        except kafka.Poison:
            return {"outcome": "failed", "detail": "unreadable still: show it"}
        except Exception as error:  # noqa: BLE001  a letter that fails again stays where it is
            _log.warning("replay failed", letter=letter.id, by=by, exc_info=error)
            detail = error.detail if isinstance(error, Problem) else type(error).__name__
            return {"outcome": "waits" if kafka.passes(error) else "failed", "detail": detail}
        outcome = "handled" if known else "skipped"
        await self._settle(letter, outcome, by)
        return {"outcome": outcome}

    async def _settle(self, letter: Letter, outcome: str, by: str, reason: str = "") -> None:
        mark = {"_id": letter.id, "outcome": outcome, "by": by, "at": real_now(), "reason": reason}
        try:
            await self.database[SETTLED].insert_one(mark)
        except DuplicateKeyError:
            return  # it is settled already, by whomever
        _log.info("dead letter settled", letter=letter.id, outcome=outcome, by=by, reason=reason)

    async def _settled(self, group: str) -> set[str]:
        """The ids of the group's settled letters."""
        own = {"_id": {"$gte": f"{group}/", "$lt": f"{group}0"}}
        return {one["_id"] for one in await self.database[SETTLED].find(own, {"_id": 1}).to_list()}


def summary(letter: Letter) -> dict[str, Any]:
    """A letter in one line."""
    headers = dict(letter.record.headers)
    return {
        "id": letter.id,
        "group": letter.group,
        "at": letter.at.isoformat(),
        "source": letter.source,
        "key": redacted(letter.key),
        "type": redacted((headers.get(TYPE_HEADER) or b"").decode(errors="replace")),
        "error": letter.about.get("error", ""),
        "bytes": int(letter.about.get("omitted") or len(letter.record.value or b"")),
    }


def _header(name: str, text: bytes | None) -> list[str]:
    return [name, redacted({name: (text or b"").decode(errors="replace")})[name]]


async def _operator(request: Request) -> Caller:
    operators: InternalTokens = request.app.state.operators
    return operators.verify(bearer(request))


OperatorOf = Annotated[Caller, Depends(_operator)]
Limit = Annotated[int, Query(ge=1, le=MOST)]


def router(backstage: Backstage) -> APIRouter:
    """The routes for operators."""
    routes = APIRouter(prefix="/internal/ops", include_in_schema=False)

    @routes.get("/outbox")
    async def outbox(_: OperatorOf, limit: Limit = 20) -> dict[str, Any]:
        return await backstage.pending(limit)

    @routes.post("/outbox/publications")
    async def publish(ask: Ask, caller: OperatorOf) -> dict[str, Any]:
        _log.info("outbox published by hand", by=caller.subject, dry_run=ask.dry_run)
        return await backstage.publish(ask.dry_run)

    @routes.get("/dead-letters")
    async def letters(
        _: OperatorOf,
        group: str | None = None,
        key: str | None = None,
        after: str | None = None,
        settled: bool = False,
    ) -> dict[str, Any]:
        found, more = await backstage.letters(group, key, after, settled)
        items = [{**summary(one), **await backstage.ending(one)} for one in found]
        return {"service": backstage.service, "items": items, "more": more}

    @routes.get("/dead-letters/{id:path}")
    async def letter(id: str, _: OperatorOf) -> dict[str, Any]:
        return await backstage.show(id)

    @routes.post("/dead-letters/replays")
    async def replay(ask: Replay, caller: OperatorOf) -> dict[str, Any]:
        return await backstage.replay(ask, caller.subject)

    @routes.post("/dead-letters/discards")
    async def discard(ask: Discard, caller: OperatorOf) -> dict[str, Any]:
        return await backstage.discard(ask, caller.subject)

    return routes
