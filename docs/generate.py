"""Writes what is generated: schemas, event reference, AsyncAPI, OpenAPI, tables of the architecture.

`--check` writes nothing and exits with 1 naming the files that are out of date.
"""

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import clauses
import passed_on
from crash_points import HOWS, POINTS
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from fastapi import FastAPI
from occasions import OCCASIONS

from purser_events.envelope import CONTENT_TYPE, TYPE_HEADER
from purser_events.schemas import meaning, schema
from purser_events.topics import BY_NAME, PARTITIONS, TOPICS, Topic, dead_letter

ROOT = Path(__file__).resolve().parents[1]
SERVICES = ("gateway", "reseller", "tenant-connection", "subscription", "order", "audit")
KEYS = (("tenant_id", "tenant"), ("reseller_id", "reseller"), ("customer_id", "customer"))
GENERATED = "<!-- Written by `make docs`; do not edit. -->"

Json = dict[str, Any]
Files = dict[str, str]


@dataclass
class Service:
    """What a service does with the others, read from its own wiring where it can be built."""

    name: str
    openapi: Json | None = None
    consumes: dict[str, list[str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    @property
    def publishes(self) -> list[Topic]:
        """The topics that the service owns."""
        return [topic for topic in TOPICS if self.name in topic.owners]


def dumped(document: Json) -> str:
    """JSON as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def key(topic: Topic) -> str:
    """What the records of a topic are keyed by: tenant, else reseller, else customer, else subject."""
    state = topic.fact.model_fields["state"].annotation
    fields: Mapping[str, Any] = getattr(state, "model_fields", {})
    if topic.aggregate == "tenant":
        return "tenant"
    found = [(name, whose) for name, whose in KEYS if name in fields]
    certain = [whose for name, whose in found if fields[name].is_required()]
    if not certain:
        return topic.aggregate
    optional = [whose for name, whose in found if not fields[name].is_required()]
    before = [whose for whose in optional if _rank(whose) < _rank(certain[0])]
    return ", else ".join([*before, certain[0]])


def _rank(whose: str) -> int:
    return [name for _, name in KEYS].index(whose)


def row(*cells: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(cells) + " |"


def table(*head: str) -> list[str]:
    """The first lines of a table."""
    return [row(*head), row(*["---"] * len(head))]


# --- the services, as they are wired -------------------------------------------------------------


def settings_of(kind: Any, folder: Path, service: str) -> Any:
    """Settings under which a service can be built; nothing is called and nothing is read but keys."""
    private = folder / "own.pem"
    public = folder / "public"
    keks = folder / "keks"
    public.mkdir()
    keks.mkdir()
    own = Ed25519PrivateKey.generate()
    private.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    spki = own.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (public / f"{service}-1.pem").write_bytes(spki)
    (folder / "hmac").write_bytes(bytes(32))
    (keks / "1.key").write_bytes(bytes(32))
    given: Json = {
        "environment": "test",
        "log_level": "ERROR",
        "http": {"port": 0},
        "mongo": {"database": "documentation"},
        "identity": {"private_key_file": private, "public_keys_dir": public},
        "keys": {"kek_dir": keks},
        "hmac_key_file": folder / "hmac",
        "microsoft": {
            "login_url": "http://login.example",
            "graph_url": "http://graph.example",
            "client_id": "purser",
            "client_secret_file": folder / "hmac",
        },
        "oidc": {"issuer": "http://issuer.example", "audience": "purser"},
        "regions": [
            {
                "code": "us",
                "name": "United States",
                "api_url": "http://marketplace.example",
                "marketplace_code": "us",
            }
        ],
    }
    for name, one in kind.model_fields.items():
        if one.is_required() and name not in given:
            given[name] = f"http://{name.replace('_', '-')}.example"
    return kind(**given)


def described(name: str) -> Service:
    """A service as its own wiring shows it. Raises what its wiring raises."""
    package = f"{name.replace('-', '_')}_service"
    main = importlib.import_module(f"{package}.main")
    kind = importlib.import_module(f"{package}.settings").Settings
    with tempfile.TemporaryDirectory() as folder:
        app = main.build(settings_of(kind, Path(folder), name))
    process = app.state.process
    # subscribers come in no order
    groups = sorted((one.group_id, sorted(one.topic_names)) for one in process.broker.subscribers)
    consumes = dict(groups)
    urls = {f"{other.replace('-', '_')}_url": other for other in SERVICES}
    calls = [urls[one] for one in kind.model_fields if one in urls]
    # the gateway's own routes alone: what it passes on is added once all owners are known
    return Service(name, FastAPI.openapi(app), consumes, calls)


def services() -> list[Service]:
    """Every service; one that cannot be built yet is named, and shown by what it publishes."""
    found = []
    for name in SERVICES:
        try:
            found.append(described(name))
        except Exception as error:  # noqa: BLE001  whatever is unfinished there, the rest is written
            why = f"{type(error).__name__}: {error}".partition("\n")[0]
            sys.stderr.write(f"skipped: {name} cannot be built, so it has no OpenAPI ({why})\n")
            found.append(Service(name))
    return found


# --- the files -----------------------------------------------------------------------------------


def schemas() -> Files:
    """One JSON Schema for each fact."""
    return {
        f"libs/events/schemas/{topic.event_type}.json": dumped(schema(topic)) for topic in TOPICS
    }


def events() -> str:
    """The table of all facts, and what each means."""
    lines = ["# Facts", "", GENERATED, "", *table("topic", "owner", "key", "meaning", "when")]
    for topic in TOPICS:
        said = meaning(topic).partition("\n\n")[0]
        link = f"[`{topic.name}`](../../libs/events/schemas/{topic.event_type}.json)"
        lines.append(row(link, ", ".join(topic.owners), key(topic), said, OCCASIONS[topic.name]))
    lines += ["", f"Every topic has {PARTITIONS} partitions unless a deployment says otherwise."]
    lines += ["The record key is an id of what the column names."]
    lines += ["[How to subscribe](../subscribe.md) · [examples](../../libs/events/examples)"]
    return "\n".join(lines) + "\n"


def crash_points() -> str:
    """The table of all crash points, and what each way to crash there comes to."""
    lines = ["# Crash points", "", GENERATED, ""]
    lines += ["`make crash` reaches every point in every way and judges what comes of it:", ""]
    lines += [f"- `{how}`: {what}." for how, what in HOWS.items()]
    columns = ("point", "what has happened", "on disk", "what recovers", "visible")
    lines += ["", *table(*columns, "reached in, by", "which ends")]
    for point in POINTS:
        reached = ", ".join(f"{program}: {flow}" for program, flow in point.reached.items())
        ends = list(dict.fromkeys(point.ends.values()))
        told = ends if len(ends) == 1 else [f"{how}: {end}" for how, end in point.ends.items()]
        cells = (point.place, point.persisted, point.recovers, point.visible, reached)
        lines.append(row(f"`{point.name}`", *cells, ", ".join(told).replace("_", " ")))
    lines += ["", "[Why they are in the code](../adr/0011-crash-points.md)"]
    return "\n".join(lines) + "\n"


def asyncapi(service: Service) -> Json:
    """AsyncAPI 3 of what a service publishes and consumes."""
    read = [BY_NAME[name] for names in service.consumes.values() for name in names]
    topics = list(dict.fromkeys([*service.publishes, *read]))
    operations: Json = {}
    for topic in service.publishes:
        operations[f"publish.{topic.name}"] = _operation("send", topic.name, topic.fact.__name__)
    for group, names in sorted(service.consumes.items()):
        for name in names:
            done = _operation("receive", name, BY_NAME[name].fact.__name__)
            done["bindings"] = {"kafka": {"groupId": {"type": "string", "const": group}}}
            operations[f"{group}.{name}"] = done
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"Purser {service.name} service",
            "version": "1",
            "description": "Facts that the service publishes and consumes on Kafka.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": operations,
        "components": {"messages": {topic.fact.__name__: _message(topic) for topic in topics}},
    }


def _operation(action: str, topic: str, fact: str) -> Json:
    channel = f"#/channels/{topic}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{fact}"}],
    }


def _channel(topic: Topic) -> Json:
    name = topic.fact.__name__
    return {
        "address": topic.name,
        "description": f"Owned by {', '.join(topic.owners)}; keyed by {key(topic)}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {"kafka": {"topic": topic.name, "partitions": PARTITIONS}},
    }


def _message(topic: Topic) -> Json:
    return {
        "name": topic.event_type,
        "title": topic.fact.__name__,
        "summary": meaning(topic).partition("\n\n")[0],
        "contentType": CONTENT_TYPE,
        "headers": {
            "type": "object",
            "properties": {TYPE_HEADER: {"type": "string", "const": topic.event_type}},
            "required": [TYPE_HEADER],
        },
        "payload": {"$ref": f"../../../libs/events/schemas/{topic.event_type}.json"},
    }


def tables(known: list[Service]) -> dict[str, list[str]]:
    """The generated parts of the architecture page by the name of their marker."""
    owners = table("service", "owns", "publishes", "consumes", "calls")
    for service in known:
        aggregates = sorted({topic.aggregate for topic in service.publishes})
        consumed = [
            f"`{group}`: " + ("all topics" if len(names) == len(TOPICS) else ", ".join(names))
            for group, names in sorted(service.consumes.items())
        ]
        owners.append(
            row(
                f"**{service.name}**",
                ", ".join(aggregates) or "—",
                ", ".join(topic.name for topic in service.publishes) or "—",
                "<br>".join(consumed) or "—",
                ", ".join(sorted(service.calls)) or "—",
            )
        )
    groups = table("consumer group", "reads", "puts aside in")
    for service in known:
        for group, names in sorted(service.consumes.items()):
            count = "1 topic" if len(names) == 1 else f"{len(names)} topics"
            groups.append(row(f"`{group}`", count, f"`{dead_letter(group)}`"))
    return {"services": owners, "groups": groups}


def filled(text: str, parts: dict[str, list[str]]) -> str:
    """A page with its generated parts. Raises ValueError when a marker is missing."""
    for name, lines in parts.items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        before, opened, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not opened or not closed:
            raise ValueError(f"docs/architecture.md: the markers of {name!r} are missing")
        text = "\n".join([before + begin, *lines, end]) + after
    return text


def generated() -> Files:
    """Every generated file by its path from the root."""
    known = services()
    files = schemas()
    files |= passed_on.files(known)
    files["docs/reference/events.md"] = events()
    files["docs/reference/crash-points.md"] = crash_points()
    for service in known:
        files[f"docs/reference/asyncapi/{service.name}.json"] = dumped(asyncapi(service))
        if service.openapi is not None:
            files[f"docs/reference/openapi/{service.name}.json"] = dumped(service.openapi)
    files["docs/requirements.md"] = clauses.page(clauses.FOLDER, GENERATED)
    page = "docs/architecture.md"
    files[page] = filled((ROOT / page).read_text(), tables(known))
    return files


def left_over(files: Files) -> Iterator[str]:
    """Files in generated folders that nothing generates any more."""
    for folder in {str(Path(path).parent) for path in files if path.endswith(".json")}:
        for path in (ROOT / folder).glob("*.json"):
            name = str(path.relative_to(ROOT))
            if name not in files:
                yield name


def stale(files: Files) -> list[str]:
    """The files that differ from what would be written."""
    differing = [
        path
        for path, text in files.items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text() != text
    ]
    return sorted([*differing, *left_over(files)])


def main() -> int:
    """Write the files, or with `--check` only name those that are out of date."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when stale")
    check = parser.parse_args().check
    files = generated()
    behind = stale(files)
    for name in behind:
        path = ROOT / name
        sys.stdout.write(f"{'stale' if check else 'written'}: {name}\n")
        if check:
            continue
        if name in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[name])
        else:
            path.unlink()
    return 1 if check and behind else 0


if __name__ == "__main__":
    sys.exit(main())
