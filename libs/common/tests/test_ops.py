"""What operators ask of a service, on a service in this process with real servers."""

import contextlib
import gc
import json
import time
import warnings
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import credentials
import httpx
import pytest
from program_settings import SERVICES
from prometheus_client import REGISTRY

from purser_common import outbox, settings
from purser_common.errors import Unavailable
from purser_common.identity import Caller, InternalTokens
from purser_common.outbox import Outbox
from purser_common.settings import ServiceSettings
from purser_common.telemetry import Cause
from purser_common.testing import create_topics, eventually
from purser_common.web import Process
from purser_common.web.redaction import readable
from purser_events.envelope import TYPE_HEADER, Envelope, Fact, envelop
from purser_events.tenant import Customer, CustomerAdded

CAUSE = Cause("user:admin", "correlation-1")


def customer(id: str) -> Customer:
    return Customer(id=id, name="Contoso", added_at=datetime(2026, 1, 2, tzinfo=UTC))


class House:
    """A service with an outbox and a group, called by operators. `repaired` lets its handler work."""

    def __init__(self, mongo: settings.Mongo, kafka: settings.Kafka, home: Path) -> None:
        self.name = f"house{uuid4().hex[:12]}"
        self.group = f"{self.name}.copies"
        self.topic = f"{self.name}.added"
        self.fact: type[Fact] = type("OwnFact", (CustomerAdded,), {"TOPIC": self.topic})
        self.repaired = True
        self.handled: list[str] = []
        self.kafka = kafka
        self._keys = home / "keys"
        credentials.create(self._keys, (*SERVICES, self.name))
        self.process = Process(
            self.name,
            ServiceSettings(
                environment="test",
                log_level="ERROR",
                http={"port": 0},
                mongo=mongo,
                kafka=kafka,
                identity=self.identity(self.name),
            ),
            indexes=outbox.indexes("customers"),
            outboxes=("customers",),
        )
        self.process.subscribe("copies", self.handle, facts=[self.fact])
        self.app = self.process.app("House", "For tests.", [])
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://house"
        )

    def identity(self, issuer: str) -> settings.Identity:
        """The keys of one who signs."""
        return settings.Identity(
            private_key_file=self._keys / issuer / "private.pem",
            public_keys_dir=self._keys / "public",
        )

    async def handle(self, envelopes: Sequence[Envelope[Any]]) -> None:
        """Note the subjects."""
        if not self.repaired:
            raise KeyError("a defect")
        self.handled += [one.subject for one in envelopes]

    async def send(self, value: bytes | None = None, **headers: str) -> None:
        """Send a fact, or another value in its place."""
        if value is None:
            made = envelop(
                self.fact(state=customer("c1")),
                source="purser/test",
                subject="customer/c1",
                sequence=1,
                time=datetime.now(UTC),
                actor="user:admin",
                correlation_id="correlation-1",
            )
            value = made.model_dump_json(exclude_none=True, serialize_as_any=True).encode()
        own = [(TYPE_HEADER, self.fact.event_type().encode())]
        own += [(name, text.encode()) for name, text in headers.items()]
        await self.process.producer.send(self.topic, "c1", value, own)

    async def close(self) -> None:
        """Close what calls it, and what it would send with."""
        await self._http.aclose()
        await self.process.producer.stop()

    def token(self, issuer: str, audience: str = "") -> str:
        """A token for a call to this service, or to another."""
        tokens = InternalTokens(issuer, self.identity(issuer), ())
        return tokens.mint(audience or self.name, Caller("operator:test"))

    async def ask(
        self, method: str, path: str, body: Any = None, token: str = ""
    ) -> httpx.Response:
        """A call in the operator's name, unless another token is given."""
        headers = {"Authorization": f"Bearer {token or self.token('operator')}"}
        return await self._http.request(method, f"/internal/ops{path}", json=body, headers=headers)

    async def waiting(self) -> list[dict[str, Any]]:
        """The letters that wait."""
        return list((await self.ask("GET", "/dead-letters")).json()["items"])

    async def letter(self) -> dict[str, Any]:
        """The one letter that comes to wait."""

        async def there() -> bool:
            return len(await self.waiting()) == 1

        await eventually(there, within=40, every=0.5)
        return (await self.waiting())[0]

    async def replay(self, **body: Any) -> list[dict[str, Any]]:
        """Replay, and what became of each letter."""
        answer = await self.ask("POST", "/dead-letters/replays", body)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    async def figure(self, name: str) -> float | None:
        """A gauge of the group, measured now; None while Kafka still makes its topics known."""
        with contextlib.suppress(Unavailable):
            await self.process._backstage().measure()
        return REGISTRY.get_sample_value(name, {"group": self.group})


@pytest.fixture
async def idle(
    mongo: settings.Mongo, provisioned: settings.Kafka, tmp_path: Path
) -> AsyncIterator[House]:
    """A service that does not run yet."""
    house = House(mongo, provisioned, tmp_path)
    await create_topics(provisioned, house.topic, f"{house.group}.dlq")
    yield house
    await house.close()


@pytest.fixture
async def house(idle: House) -> AsyncIterator[House]:
    """A service that runs."""
    async with idle.app.router.lifespan_context(idle.app):
        yield idle


async def test_poison_is_listed_and_shown_without_its_secrets(house: House) -> None:
    poison = {"id": "e1", "name": "Contoso", "client_secret": "canary-1", "at": "Bearer canary-2"}
    await house.send(json.dumps(poison).encode(), authorization="canary-3", note="kept")
    letter = await house.letter()
    assert letter["source"].startswith(f"{house.topic}/")
    assert (letter["key"], letter["error"]) == ("c1", "ValidationError")
    shown = await house.ask("GET", f"/dead-letters/{letter['id']}")
    assert "canary" not in shown.text
    told = shown.json()
    assert told["value"]["name"] == "Contoso"
    assert ["note", "kept"] in told["headers"]
    assert "/source: Field required" in told["defects"]
    assert {
        "topic",
        "partition",
        "offset",
        "timestamp",
        "group",
        "error",
        "detail",
        "attempts",
    } <= {*told["about"]}
    assert await house.figure("dlq_waiting") == 1


async def test_what_a_defect_put_aside_stays_until_it_is_repaired_and_then_takes_effect(
    house: House,
) -> None:
    house.repaired = False
    await house.send()
    letter = await house.letter()
    assert (letter["error"], letter["type"]) == ("KeyError", house.fact.event_type())
    failed = {"type": house.fact.event_type(), "outcome": "failed"}
    assert REGISTRY.get_sample_value("events_handled_total", failed) == 5
    assert REGISTRY.get_sample_value("dlq_published_total", {"group": house.group}) == 1
    (again,) = await house.replay(all=True)
    assert (again["outcome"], again["detail"]) == ("failed", "KeyError")
    house.repaired = True
    (dry,) = await house.replay(all=True, dry_run=True)
    assert (dry["outcome"], house.handled) == ("would be replayed", [])
    assert await house.replay(key="another") == []
    (done,) = await house.replay(key="c1")
    assert (done["outcome"], house.handled) == ("handled", ["customer/c1"])
    assert await house.waiting() == []
    assert await house.replay(all=True) == []
    assert await house.figure("dlq_waiting") == 0
    kept = (await house.ask("GET", "/dead-letters?settled=true")).json()["items"]
    assert [(one["id"], one["outcome"], one["by"]) for one in kept] == [
        (letter["id"], "handled", "operator:test")
    ]


async def test_a_letter_too_large_to_be_kept_is_replayed_from_where_it_came(house: House) -> None:
    house.repaired = False
    await house.send(bulk="x" * 950_000)
    letter = await house.letter()
    assert letter["bytes"] > 900_000
    house.repaired = True
    (done,) = await house.replay(id=letter["id"])
    assert (done["outcome"], house.handled) == ("handled", ["customer/c1"])


async def test_a_letter_that_nothing_makes_readable_is_discarded_with_a_reason(
    house: House,
) -> None:
    await house.send(b"\xff\xfe")
    letter = await house.letter()
    (again,) = await house.replay(id=letter["id"])
    assert again["outcome"] == "failed"
    body = {"id": letter["id"], "reason": "a test's"}
    assert (
        await house.ask("POST", "/dead-letters/discards", {"id": letter["id"]})
    ).status_code == 422
    dry = await house.ask("POST", "/dead-letters/discards", {**body, "dry_run": True})
    assert dry.json()["outcome"] == "would be discarded"
    assert len(await house.waiting()) == 1
    await house.ask("POST", "/dead-letters/discards", body)
    assert await house.waiting() == []
    shown = (await house.ask("GET", f"/dead-letters/{letter['id']}")).json()
    assert (shown["outcome"], shown["reason"]) == ("discarded", "a test's")


async def test_letters_are_gone_through_page_by_page(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from purser_common.web import ops

    monkeypatch.setattr(ops, "MOST", 2)
    for number in range(5):
        await house.send(b"poison %d" % number)

    async def there() -> bool:
        return await house.figure("dlq_waiting") == 5

    await eventually(there, within=40, every=0.5)
    seen: list[str] = []
    more, after = True, ""
    while more:
        page = (await house.ask("GET", f"/dead-letters{after}")).json()
        seen += [one["id"] for one in page["items"]]
        more, after = page["more"], f"?after={seen[-1]}"
    assert len(seen) == len(set(seen)) == 5


@pytest.mark.parametrize("path", ["nowhere.copies/0/0", "{group}/0/999", "{group}/x/0", "{group}"])
async def test_a_letter_that_is_not_there_is_not_found(house: House, path: str) -> None:
    answer = await house.ask("GET", f"/dead-letters/{path.format(group=house.group)}")
    assert answer.status_code == 404


@pytest.mark.parametrize("body", [{}, {"all": True, "key": "k"}, {"all": False}, {"ids": []}])
async def test_a_replay_names_exactly_one_choice(house: House, body: Any) -> None:
    assert (await house.ask("POST", "/dead-letters/replays", body)).status_code == 422


async def test_a_group_that_lags_shows(idle: House) -> None:
    for _ in range(3):
        await idle.send()

    async def lags() -> bool:
        return await idle.figure("consumer_lag_records") == 3

    await eventually(lags, within=20, every=0.2)
    async with idle.app.router.lifespan_context(idle.app):

        async def caught_up() -> bool:
            return await idle.figure("consumer_lag_records") == 0

        await eventually(caught_up, within=40, every=0.5)


async def test_a_query_that_no_index_serves_shows(house: House) -> None:
    await house.process.database["customers"].find_one({"state.name": "Contoso"})
    ready = await house._http.get("/health/ready")
    assert ready.json()["unindexed_queries"] == ["customers: filter ['state.name'] sort []"]
    assert REGISTRY.get_sample_value("mongo_unindexed_queries") == 1


async def test_a_service_that_ends_while_its_consumers_start_leaves_nothing_open(
    idle: House,
) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        async with idle.app.router.lifespan_context(idle.app):
            (subscriber,) = idle.process.broker.subscribers
            await eventually(lambda: subscriber.consumer is not None, every=0)
            began = time.monotonic()
        assert time.monotonic() - began < 15
        gc.collect()
    assert [str(one.message) for one in told if one.category is ResourceWarning] == []


async def test_facts_that_wait_are_listed_and_published_by_hand(idle: House) -> None:
    """Written by a process that ended before it published."""
    collection = idle.process.database["customers"]
    writer = Outbox("tenant-connection", idle.process.clock, lambda *_: None)
    state = customer("c1")
    await writer.insert(collection, "c1", {"name": "x"}, [CustomerAdded(state=state)] * 2, CAUSE)
    listed = (await idle.ask("GET", "/outbox")).json()
    assert listed["documents"] == 1
    (one,) = listed["items"]
    assert (one["collection"], one["id"]) == ("customers", "c1")
    assert one["topics"] == ["customer.added"] * 2
    dry = (await idle.ask("POST", "/outbox/publications", {"dry_run": True})).json()
    assert (len(dry["items"]), dry["left"]) == (1, 1)
    done = (await idle.ask("POST", "/outbox/publications", {})).json()
    assert ([one["facts"] for one in done["items"]], done["left"]) == ([2], 0)
    assert (await idle.ask("GET", "/outbox")).json()["items"] == []


async def test_only_the_operators_key_opens_this_door_and_no_other(idle: House) -> None:
    for token in (
        idle.token("gateway"),
        idle.token(idle.name),
        idle.token("operator", audience="order"),
        "nonsense",
    ):
        answer = await idle.ask("GET", "/outbox", token=token)
        assert (answer.status_code, answer.headers["content-type"]) == (
            401,
            "application/problem+json",
        )
    operator = idle.token("operator")
    with pytest.raises(Exception, match="not accepted"):
        idle.process.tokens.verify(operator)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b'{"a": [{"password": "p"}]}', {"a": [{"password": "(hidden)"}]}),
        (b'{"subscription_key": null}', {"subscription_key": None}),
        (b"token=abc&x=1", "token=(hidden)&x=1"),
        (b'{"access_token": "half', '{"access_token": (hidden)'),
        (b"x eyJhbGciOiJFZERTQSJ9.e30.c2ln y", "x (hidden) y"),
        (b"plain", "plain"),
        (b"\xff\xfe", {"base64": "//4="}),
        (b"-----BEGIN PRIVATE KEY-----\nMC4\n-----END PRIVATE KEY-----", "(hidden)"),
    ],
)
def test_secrets_are_hidden_and_nothing_else(value: bytes, shown: Any) -> None:
    assert readable(value) == shown
