"""Small runs made by hand: the evidence that a sound system would leave behind, to plant defects into."""

import base64
import copy
import json
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Json = dict[str, Any]
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
TENANT, CUSTOMER, RESELLER = "tenant-1", "customer-1", "reseller-1"
MARKETPLACE_CUSTOMER = "1000046"
SECRET = "pL4/q9+Zt~wK"
"""Of characters that each way of writing text down spells differently."""
GROUPS = {"audit.record": None, "gateway.read-model": {"license-change-request", "tenant"}}
"""Consumer group → the aggregates that it reads; None: all."""
MODEL = {"tenant": "tenants", "subscription": "subscriptions", "license-change-request": "requests"}
OWNERS = {
    "tenant": ("tenant-connection", "tenants"),
    "subscription": ("subscription", "subscriptions"),
    "license-change-request": ("order", "license_change_requests"),
    "order": ("order", "orders"),
}
PRODUCT = {
    "mpn": "SIMBP:0001_P1Y:M",
    "vendor": "SIMMICROSOFT",
    "subscription_period": {"type": "year", "duration": 1},
    "billing_period": {"type": "month", "duration": 1},
}
LINE = {
    "mpn": "SIMBP:0001_P1Y:M",
    "vendor": "SIMMICROSOFT",
    "subscriptionPeriod": {"type": "year", "duration": 1},
    "billingPeriod": {"type": "month", "duration": 1},
}


def at(second: float) -> str:
    """A moment of the run."""
    return (START + timedelta(seconds=second)).isoformat()


@dataclass
class SyntheticRun:
    """The evidence of a run, in memory; `write` makes a directory of it."""

    run: Json = field(default_factory=dict)
    history: list[Json] = field(default_factory=list)
    journal: list[Json] = field(default_factory=list)
    orders: dict[str, Json] = field(default_factory=dict)
    subscriptions: dict[str, Json] = field(default_factory=dict)
    kafka: list[Json] = field(default_factory=list)
    mongo: dict[str, dict[str, dict[str, Json]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    http: list[Json] = field(default_factory=list)
    logs: dict[str, list[str]] = field(default_factory=lambda: {"order": [], "kafka": []})
    lag: dict[tuple[str, str], int] = field(default_factory=dict)
    """(group, topic) → records that are not committed."""

    def __post_init__(self) -> None:
        self._ids = iter(range(1_000_100, 2_000_000))
        self._second = 0.0
        self.run = {
            "seed": 1,
            "started": at(0),
            "ended": at(1_000),
            "canaries": [{"name": "password", "value": SECRET}],
            "outages": [],
            "poison": [],
            "portal_orders": [],
        }
        connection = {"marketplace_customer_id": MARKETPLACE_CUSTOMER, "reseller_id": RESELLER}
        tenant = {"id": TENANT, "customer_id": CUSTOMER, "connection": connection}
        self.say("tenant.connected", "tenant", {**tenant, "status": "registered"})

    # -- what happens ------------------------------------------------------------------------------

    def now(self, seconds: float = 1.0) -> str:
        """The next moment."""
        self._second += seconds
        return at(self._second)

    def say(self, topic: str, aggregate: str, state: Json, **more: Any) -> Json:
        """Write a state with its fact, publish it, and let everybody read it. Returns the document."""
        service, collection = OWNERS[aggregate]
        documents = self.mongo[f"purser_{service.replace('-', '_')}"][collection]
        document = documents.setdefault(state["id"], {"_id": state["id"], "sequence": 0})
        document.update(state=copy.deepcopy(state), outbox=[])
        document["sequence"] += 1
        self.publish(topic, f"{aggregate}/{state['id']}", document["sequence"], state, **more)
        self._read(aggregate, document)
        return document

    def publish(self, topic: str, subject: str, sequence: int, state: Json, **more: Any) -> Json:
        """Append a record to the log, and audit's record of it."""
        type_, aggregate = f"purser.{topic}.v1", subject.partition("/")[0]
        id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{subject}|{type_}|{sequence}"))
        value = {
            "id": id,
            "type": type_,
            "source": f"purser/{OWNERS[aggregate][0]}",
            "subject": subject,
            "sequence": sequence,
            "time": self.now(0.1),
            "specversion": "1.0",
            "data": {"state": copy.deepcopy(state), **more},
        }
        key = str(state["id"] if aggregate == "tenant" else state.get("tenant_id", state["id"]))
        record = self.append(topic, key, value, {"ce_type": type_})
        self.mongo["purser_audit"]["records"][id] = {"_id": id}
        return record

    def append(self, topic: str, key: str, value: Json, headers: Json) -> Json:
        """Append a record of any content to the log."""
        offset = sum(1 for record in self.kafka if record["topic"] == topic)
        record = {"topic": topic, "partition": 0, "offset": offset, "key": key}
        record |= {"headers": headers, "value": value}
        self.kafka.append(record)
        return record

    def _read(self, aggregate: str, document: Json) -> None:
        if aggregate in MODEL:
            subject = f"{aggregate}/{document['_id']}"
            copied = {"_id": subject, "sequence": document["sequence"]}
            copied["state"] = copy.deepcopy(document["state"])
            self.mongo["purser_gateway"][MODEL[aggregate]][subject] = copied

    def call(self, body: Json, answer: Json | None, status: int = 202, **more: Any) -> list[Json]:
        """A call of a client with its answer; without one its outcome stays unknown."""
        op = len(self.history) + 1
        asked = {
            "kind": "purchase",
            "caller": "admin",
            "idempotency_key": body.get("po_number"),
            "method": "POST",
            "path": "/v1/license-change-requests",
            **more,
        }
        lines = [{"t": self.now(0.1), "op": op, "type": "invoke", **asked, "body": body}]
        if answer is None:
            lines.append({"t": self.now(0.1), "op": op, "type": "info", "error": "ReadTimeout"})
        else:
            kind = "ok" if status < 400 else "fail"
            ended = {"t": self.now(0.1), "op": op, "type": kind, "status": status}
            lines.append({**ended, "answer": answer})
        self.history += lines
        return lines

    # -- purchases ---------------------------------------------------------------------------------

    def request(self, **want: Any) -> "Request":
        """A request that was acknowledged and is being sent."""
        number = str(next(self._ids))
        body = {
            "tenant_id": TENANT,
            "kind": "buy",
            "product": {**PRODUCT, "mpn": f"SIM{number}"},
            "quantity": 5,
            "po_number": f"PO-{number}",
            **want,
        }
        state = {
            **body,
            "id": f"request-{number}",
            "status": "placing",
            "customer_id": CUSTOMER,
            "reseller_id": RESELLER,
            "marketplace_customer_id": MARKETPLACE_CUSTOMER,
            "po_number_sent": f"{body['po_number']}-{number}",
            "requested_at": self.now(),
            "order": None,
        }
        document = self.say("license.change-requested", "license-change-request", state)
        attempt = {"n": 1, "started_at": self.now(), "outcome": None}
        document.update(phase="sending", attempts=[attempt], evidence=[], slot_buy=f"slot-{number}")
        self.call(body, {"id": state["id"]})
        return Request(self, document)

    def purchase(self, **want: Any) -> "Request":
        """A purchase from the call to the mirrored subscription."""
        return self.request(**want).place().complete()

    def write(self, directory: Path) -> Path:
        """The run as an evidence directory."""
        market = {
            "orders": [*self.orders.values()],
            "subscriptions": [*self.subscriptions.values()],
        }
        for name, whole in {
            "run.json": self.run,
            "marketplace.json": market,
            "groups.json": self._groups(),
        }.items():
            (directory / name).write_text(json.dumps(whole))
        for name, rows in {
            "history.jsonl": self.history,
            "faults.jsonl": [],
            "journal.jsonl": self.journal,
            "kafka.jsonl": self.kafka,
            "http.jsonl": self.http,
        }.items():
            _lines(directory / name, rows)
        for database, collections in self.mongo.items():
            (directory / "mongo" / database).mkdir(parents=True)
            for collection, documents in collections.items():
                path = directory / "mongo" / database / f"{collection}.jsonl"
                _lines(path, list(documents.values()))
        (directory / "logs").mkdir()
        for program, written in self.logs.items():
            (directory / "logs" / f"{program}.log").write_text("".join(f"{w}\n" for w in written))
        return directory

    def _groups(self) -> list[Json]:
        ends: dict[str, int] = defaultdict(int)
        aggregates: dict[str, str] = {}
        for record in self.kafka:
            if isinstance(record["value"], dict) and not record["topic"].endswith(".dlq"):
                ends[record["topic"]] += 1
                subject = str(record["value"].get("subject", ""))
                aggregates.setdefault(record["topic"], subject.partition("/")[0])
        rows = []
        for group, wanted in GROUPS.items():
            for topic, end in ends.items():
                if wanted is None or aggregates[topic] in wanted:
                    committed = end - self.lag.get((group, topic), 0)
                    row = {"group": group, "topic": topic, "partition": 0}
                    rows.append({**row, "committed": committed, "end": end})
        return rows


@dataclass
class Request:
    """One request on its way."""

    run: SyntheticRun
    document: Json

    @property
    def id(self) -> str:
        """The request's id."""
        return str(self.document["_id"])

    @property
    def subject(self) -> str:
        """How facts name it."""
        return f"license-change-request/{self.id}"

    @property
    def state(self) -> Json:
        """A copy of its state, to change and say."""
        return copy.deepcopy(self.document["state"])

    def step(self, topic: str, status: str, phase: str | None = None, **more: Any) -> "Request":
        """The next fact."""
        state = {**self.state, "status": status}
        self.run.say(topic, "license-change-request", state, **more)
        self.document["phase"] = phase or status
        if status not in ("placing", "uncertain", "needs_review", "placed"):
            self.document.pop("slot_buy", None)
        return self

    def executed(self, **changes: Any) -> Json:
        """The marketplace executes an order for it. Returns the journal's line."""
        id = str(next(self.run._ids))
        state = self.document["state"]
        subscription = changes.pop("subscription", str(next(self.run._ids)))
        line = {**LINE, "mpn": state["product"]["mpn"], "quantity": str(state["quantity"])}
        entry = {
            "id": id,
            "number": f"SO{id}",
            "type": "sales",
            "customerId": state["marketplace_customer_id"],
            "poNumber": state["po_number_sent"],
            "subscriptionId": subscription,
            "products": [{**line, "subscriptionId": subscription}],
            "time": self.run.now(0.1),
            **changes,
        }
        self.run.journal.append(entry)
        self.run.orders[id] = {
            "id": id,
            "type": entry["type"],
            "status": "completed",
            "customer_id": entry["customerId"],
            "created_at": entry["time"],
            "subscription_id": subscription,
        }
        self.run.subscriptions[subscription] = {
            "id": subscription,
            "status": "active",
            "lines": [{"quantity": state["quantity"]}],
        }
        return entry

    def link(self, order: Json, source: str = "answer") -> None:
        """Purser ties an order to it."""
        evidence = {"order_id": order["id"], "source": source, "at": self.run.now(0.1)}
        self.document["evidence"].append(evidence)
        self.document.setdefault("order_ids", []).append(order["id"])

    def place(self, order: Json | None = None, source: str = "answer") -> "Request":
        """Its order is executed, if it was not yet, and known."""
        order = order or self.executed()
        self.link(order, source)
        told = {"id": order["id"], "number": order["number"], "status": "submitted"}
        self.document["state"]["order"] = told
        return self.step("order.placed", "placed")

    def complete(self) -> "Request":
        """Its order is completed, and the subscription is mirrored."""
        order = next(o for o in self.run.journal if o["id"] == self.document["order_ids"][0])
        subscription = order["subscriptionId"]
        self.document["state"]["marketplace_subscription_id"] = subscription
        self.document["state"]["order"]["status"] = "completed"
        self.step("order.completed", "completed").step("license.purchased", "completed")
        mirrored = {
            "id": f"mirror-{subscription}",
            "tenant_id": TENANT,
            "reseller_id": RESELLER,
            "marketplace_subscription_id": subscription,
            "status": "active",
            "options": [{"quantity": self.document["state"]["quantity"]}],
        }
        self.run.say("subscription.activated", "subscription", mirrored)
        return self

    def lose(self) -> "Request":
        """Its answer is lost."""
        self.document["attempts"][-1]["outcome"] = "unknown"
        return self.step("order.uncertain", "uncertain", "verifying")

    def ask(self) -> "Request":
        """Listings did not show it, so a person is asked."""
        self.document["absence_shown_at"] = self.run.now()
        return self.step("order.uncertain", "needs_review")

    def settle(self, answer: str) -> "Request":
        """A person answers, over HTTP too."""
        after = {"link": "placed", "not_placed": "placing", "give_up": "cancelled"}[answer]
        phase = {"not_placed": "ready"}.get(answer)
        self.step("order.review-settled", after, phase, answer=answer)
        path = f"/v1/review-items/{self.id}/settlements"
        key = f"settle-{self.id}-{answer}"
        self.run.call({"answer": answer}, {}, 200, path=path, idempotency_key=key)
        return self

    def send_again(self) -> "Request":
        """Another attempt."""
        attempts = self.document["attempts"]
        attempts.append({"n": len(attempts) + 1, "started_at": self.run.now(), "outcome": None})
        return self


def encoded(content: str | bytes) -> Json:
    """Bytes as the evidence has them."""
    raw = content if isinstance(content, bytes) else content.encode()
    return {"base64": base64.b64encode(raw).decode()}


def _lines(path: Path, rows: list[Json]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
