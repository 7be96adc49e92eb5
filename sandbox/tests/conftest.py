"""A real sandbox process, and callers of their own that no other test shares."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

BUSINESS_STANDARD = {
    "mpn": "SIMBS:0001_P1Y:M",
    "vendor": "SIMMICROSOFT",
    "subscriptionPeriod": {"type": "year", "duration": 1},
    "billingPeriod": {"type": "month", "duration": 1},
}


def eventually(check: Callable[[], Any], deadline: float = 10) -> Any:
    """The first true answer within `deadline` seconds."""
    until = time.monotonic() + deadline
    while not (found := check()):
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.02)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Sandbox:
    """A sandbox process that can be killed and started again on its data."""

    data_dir: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=_free_port)

    def start(self) -> None:
        settings = {
            "SANDBOX_PORT": str(self.port),
            "SANDBOX_DATA_DIR": str(self.data_dir),
            "SANDBOX_SUBMITTED_SECONDS": "0",
            "SANDBOX_PROCESSING_SECONDS": "0",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "purser_sandbox.main"],
            env={**os.environ, **settings, **self.environment},
        )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)
        eventually(self._answers, 20)

    def _answers(self) -> bool:
        assert self.process.poll() is None
        try:
            return self.http.get("/sandbox/health").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        self.http.close()
        self.process.send_signal(how)
        self.process.wait(timeout=20)

    def account(self, **asked: Any) -> "Account":
        made = self.http.post("/sandbox/accounts", json={"kind": "parent"} | asked)
        assert made.status_code == 201, made.text
        return Account(self, **made.json())

    def fault(self, **fault: Any) -> dict[str, Any]:
        made = self.http.post("/sandbox/faults", json=fault)
        assert made.status_code == 201, made.text
        body: dict[str, Any] = made.json()
        return body

    def journal(self, customer_id: str) -> list[dict[str, Any]]:
        answer = self.http.get("/sandbox/journal", params={"customer_id": customer_id})
        rows: list[dict[str, Any]] = answer.json()
        return rows


@dataclass
class Account:
    """A marketplace login of its own."""

    sandbox: Sandbox
    login: dict[str, Any]
    resellers: list[dict[str, Any]]
    _token: str = ""

    @property
    def customer(self) -> dict[str, Any]:
        row: dict[str, Any] = self.resellers[0]["customers"][0]
        return row

    @property
    def customer_id(self) -> str:
        return str(self.customer["id"])

    @property
    def tenant(self) -> str:
        return str(self.customer["entra_tenants"][0]["id"])

    def token(self) -> httpx.Response:
        return self.sandbox.http.post(
            f"/marketplace/{self.login['region']}/token",
            json={"marketplace": self.login["marketplace"]},
            auth=(self.login["username"], self.login["password"]),
            headers={"X-Subscription-Key": self.login["subscription_key"]},
        )

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        self._token = self._token or self.token().json()["token"]
        headers = {
            "X-Subscription-Key": self.login["subscription_key"],
            "Authorization": f"Bearer {self._token}",
        }
        address = f"/marketplace/{self.login['region']}{path}"
        return self.sandbox.http.request(method, address, headers=headers, **more)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.call("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def order_body(self, quantity: Any = 5, **more: Any) -> dict[str, Any]:
        line = BUSINESS_STANDARD | {"quantity": quantity}
        return {"type": "sales", "customerId": self.customer_id, "products": [line]} | more

    def sell(self, quantity: Any = 5, **more: Any) -> httpx.Response:
        return self.call("POST", "/orders", json=self.order_body(quantity, **more))

    def bought(self, quantity: int = 5, **more: Any) -> dict[str, Any]:
        """A subscription from a completed order."""
        placed = self.sell(quantity, **more)
        assert placed.status_code == 200, placed.text
        order = self.completed(placed.json()["id"])
        subscription: dict[str, Any] = self.get(f"/subscriptions/{order['subscriptionId']}")
        return subscription

    def completed(self, order_id: str) -> dict[str, Any]:
        def read() -> dict[str, Any] | None:
            order: dict[str, Any] = self.get(f"/orders/{order_id}")
            return order if order["status"] == "completed" else None

        order: dict[str, Any] = eventually(read)
        return order

    def change(self, subscription_id: str, quantity: int, **more: Any) -> httpx.Response:
        line = BUSINESS_STANDARD | {"quantity": quantity, "subscriptionId": subscription_id}
        body = {"type": "change", "customerId": self.customer_id, "products": [line]} | more
        return self.call("POST", "/orders", json=body)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    running = Sandbox(tmp_path_factory.mktemp("sandbox"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def own_sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A process that a test may kill or whose clock it may move."""
    running = Sandbox(tmp_path / "data")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def account(sandbox: Sandbox) -> Account:
    return sandbox.account(customers=2)
