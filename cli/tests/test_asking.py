"""The command asks every service at the same time, so that it is as slow as the slowest, not as all."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from purser_cli.main import app
from purser_cli.services import SERVICES, consuming
from purser_common import testing

PAGE = 2


@dataclass
class Answers:
    """Services that answer only once all of them have been asked; each has three letters."""

    barrier: threading.Barrier
    asked: list[str] = field(default_factory=list)

    def of(self, service: str, path: str, query: dict[str, list[str]]) -> Any:
        self.asked.append(service)
        if "after" not in query:
            self.barrier.wait(timeout=5)
        if path.endswith("/outbox"):
            return {"service": service, "documents": 0, "oldest_seconds": 0.0, "items": []}
        first = int(query["after"][0].rpartition("/")[2]) + 1 if "after" in query else 0
        offsets = range(first, min(first + PAGE, 3))
        names = ("id", "at", "source", "key", "type", "error")
        items = [dict.fromkeys(names, f"{service}/0/{offset}") for offset in offsets]
        return {"service": service, "items": items, "more": first + PAGE < 3}


@pytest.fixture
def answers(keys: testing.Keys, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    given = Answers(threading.Barrier(1))

    class Asked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            service, _, path = url.path.lstrip("/").partition("/")
            try:
                body, status = given.of(service, path, parse_qs(url.query)), 200
            except threading.BrokenBarrierError:
                body, status = {"code": "alone", "detail": "asked alone"}, 503
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Asked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in SERVICES:
            address = f"http://127.0.0.1:{server.server_port}/{name}"
            monkeypatch.setenv(f"{name.upper().replace('-', '_')}_URL", address)
        identity = keys.identity("operator")
        monkeypatch.setenv("IDENTITY__PRIVATE_KEY_FILE", str(identity.private_key_file))
        monkeypatch.setenv("IDENTITY__PUBLIC_KEYS_DIR", str(identity.public_keys_dir))
        yield given
        server.shutdown()


def lines(*words: str) -> list[Any]:
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_dead_letters_of_all_services_are_asked_for_at_once_and_told_in_order(
    answers: Answers,
) -> None:
    answers.barrier = threading.Barrier(len(consuming()))
    told = [one["id"] for one in lines("dlq", "list")]
    assert told == [f"{name}/0/{offset}" for name in consuming() for offset in range(3)]
    assert len(answers.asked) == 2 * len(consuming())


def test_the_outboxes_of_all_services_are_asked_for_at_once_and_told_in_order(
    answers: Answers,
) -> None:
    answers.barrier = threading.Barrier(len(SERVICES))
    assert [one["service"] for one in lines("outbox", "list")] == list(SERVICES)
