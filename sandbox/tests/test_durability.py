"""What a kill leaves: the journal holds every answered order, and the state comes back."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx


def test_every_answered_order_is_in_the_journal_after_a_kill(own_sandbox: Any) -> None:
    account = own_sandbox.account()
    account.get("/orders")
    answered: list[str] = []

    def buy() -> None:
        try:
            while len(answered) < 1000:
                answered.append(account.sell(1).json()["id"])
        except httpx.TransportError:
            return

    buyer = threading.Thread(target=buy)
    buyer.start()
    while len(answered) < 20:
        assert buyer.is_alive()
    own_sandbox.process.kill()
    buyer.join(timeout=20)
    own_sandbox.kill()
    lines = (own_sandbox.data_dir / "orders.jsonl").read_text().splitlines()
    journal = {json.loads(line)["id"] for line in lines if line.endswith("}")}
    assert set(answered) <= journal
    own_sandbox.start()
    total = account.get("/orders", limit=1)["pagination"]["total"]
    assert total >= len(answered)
    assert total == len(own_sandbox.journal(account.customer_id))


def test_an_order_that_only_reached_the_journal_is_taken_in_at_start(own_sandbox: Any) -> None:
    account = own_sandbox.account()
    order = account.sell(3).json()
    own_sandbox.kill()
    state = own_sandbox.data_dir / "state.jsonl"
    lines = [
        line
        for line in state.read_text().splitlines(keepends=True)
        if json.loads(line)["id"] != order["id"]
    ]
    state.write_text("".join(lines) + '{"kind":"order","id":"torn')
    own_sandbox.start()
    back = account.completed(order["id"])
    assert account.get(f"/subscriptions/{back['subscriptionId']}")["products"][0]["quantity"] == 3


def test_a_restart_keeps_tokens_consents_clock_keys_and_never_reuses_ids(own_sandbox: Any) -> None:
    account = own_sandbox.account()
    subscription = account.bought(4)
    keys = own_sandbox.http.get("/oidc/jwks").json()
    own_sandbox.http.post("/sandbox/clock", json={"advance_seconds": 60})
    consent = {"client_id": "purser", "redirect_uri": "http://127.0.0.1/", "sandbox_auto": "accept"}
    address = f"/login/{account.tenant}/v2.0/adminconsent"
    assert own_sandbox.http.get(address, params=consent).status_code == 302
    own_sandbox.kill()
    own_sandbox.start()
    assert account.get(f"/subscriptions/{subscription['id']}") == subscription
    assert own_sandbox.http.get("/sandbox/clock").json()["offset_seconds"] == 60
    assert own_sandbox.http.get("/oidc/jwks").json() == keys
    tenants = own_sandbox.http.get("/sandbox/entra-tenants").json()
    assert next(row for row in tenants if row["id"] == account.tenant)["consented_clients"]
    assert int(account.sell(1).json()["id"]) > int(subscription["id"])


def test_the_clock_never_goes_back(own_sandbox: Any) -> None:
    assert own_sandbox.http.post("/sandbox/clock", json={"advance_seconds": -1}).status_code == 422
    moved = own_sandbox.http.post("/sandbox/clock", json={"advance_seconds": 10}).json()
    assert moved["offset_seconds"] == 10
    own_sandbox.http.post("/sandbox/reset")
    assert own_sandbox.http.get("/sandbox/clock").json()["offset_seconds"] == 10


def test_reset_goes_back_to_the_seed(own_sandbox: Any) -> None:
    before = own_sandbox.http.get("/sandbox/seed").json()
    own_sandbox.account().sell(1)
    own_sandbox.fault(route="GET /orders", kind="status")
    assert own_sandbox.http.post("/sandbox/reset").status_code == 200
    assert own_sandbox.http.get("/sandbox/seed").json() == before
    assert own_sandbox.http.get("/sandbox/journal").json() == []
    assert own_sandbox.http.get("/sandbox/faults").json() == []


def test_the_process_stays_small(own_sandbox: Any) -> None:
    status = Path(f"/proc/{own_sandbox.process.pid}/status").read_text()
    resident_kib = int(status.partition("VmRSS:")[2].split()[0])
    assert resident_kib < 75 * 1024


def test_a_taken_port_is_named(sandbox: Any, tmp_path: Path) -> None:
    settings = {"SANDBOX_PORT": str(sandbox.port), "SANDBOX_DATA_DIR": str(tmp_path)}
    second = subprocess.run(
        [sys.executable, "-m", "purser_sandbox.main"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert f"port {sandbox.port} on 127.0.0.1 is already taken" in second.stderr


def test_a_data_directory_belongs_to_one_process(sandbox: Any, tmp_path: Path) -> None:
    free = type(sandbox)(tmp_path).port
    settings = {"SANDBOX_PORT": str(free), "SANDBOX_DATA_DIR": str(sandbox.data_dir)}
    second = subprocess.run(
        [sys.executable, "-m", "purser_sandbox.main"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert "in use by another sandbox" in second.stderr


def test_the_seed_sizes_are_settings(tmp_path: Any, sandbox: Any) -> None:
    sizes = {"RESELLERS": 3, "CUSTOMERS": 4, "PRODUCTS": 20, "SUBSCRIPTIONS": 9,
             "REMOVED_SUBSCRIPTIONS": 7, "ORDERS": 50}  # fmt: skip
    large = type(sandbox)(tmp_path, {f"SANDBOX_{name}": str(n) for name, n in sizes.items()})
    large.start()
    seed = large.http.get("/sandbox/seed").json()["accounts"][0]
    assert len(seed["resellers"]) == 4
    assert [len(row["customers"]) for row in seed["resellers"]] == [4, 4, 4, 4]
    large.stop()


def test_the_default_seed_has_a_distributor_and_a_leaf(sandbox: Any) -> None:
    seed = sandbox.http.get("/sandbox/seed").json()
    parent, leaf = seed["accounts"]
    assert parent["login"]["kind"] == "parent"
    assert leaf["login"]["kind"] == "leaf"
    assert len(parent["resellers"]) >= 2
    customers = [row for reseller in parent["resellers"] for row in reseller["customers"]]
    assert len(customers) >= 6
    assert all(len(row["entra_tenants"]) == 1 for row in customers)
