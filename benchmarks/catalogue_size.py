"""Keeping a reseller's catalogue: what a look at 5,000 products takes, and a page of the list.

    PYTHONPATH=deploy/local .venv/bin/python benchmarks/catalogue_size.py [--products 5000]

A whole stack of its own, on free ports. Two resellers see the same marketplace: one lists 100
products, the other all. Exits with 1 when a goal is missed.
"""

import argparse
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from ports import Ports
from stack import Stack

from purser_cli.login import fetch

FEW = 100
CPU_GOAL, MEMORY_GOAL, RATIO_GOAL = 30.0, 200.0, 1.3
PATIENCE = 120.0
TURNS = 6
Json = dict[str, Any]


@dataclass(frozen=True)
class Taken:
    """What a look took of the service's process."""

    outcome: Json
    cpu_seconds: float
    peak_mib: float
    seconds: float


class Bench:
    """The stack, asked as a platform admin, and the reseller service's process."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._sandbox = httpx.Client(base_url=stack.url("sandbox"), timeout=60)
        token = fetch(f"{stack.url('sandbox')}/oidc", "admin", "purser-admin")
        headers = {"Authorization": f"Bearer {token}"}
        self._logins: dict[str, str] = {}
        self._http = httpx.Client(base_url=stack.url("gateway"), headers=headers, timeout=60)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._sandbox.close()

    def cpu(self) -> float:
        """Seconds of processor time that the service's process has taken."""
        return self._stack.cpu()["reseller"]

    def reseller(self, products: int) -> str:
        """A reseller of an account of its own that lists so many products; its path."""
        made = self._sandbox.post("/sandbox/accounts", json={"kind": "leaf"}).raise_for_status()
        login, wanted = made.json()["login"], made.json()["resellers"][0]["id"]
        self._list(login["id"], products)
        names = ("region", "subscription_key", "username", "password")
        proven = self._post("/v1/reseller-verifications", {name: login[name] for name in names})
        body = {
            "verification_id": proven["id"],
            "display_name": f"Reseller of {products} products",
            "marketplace_reseller_id": wanted,
        }
        path = f"/v1/resellers/{self._post('/v1/resellers', body)['id']}"
        self._logins[path] = login["id"]
        self.looked(path)
        return path

    def list_all(self, path: str) -> None:
        """From now on the reseller's account lists every product that there is."""
        self._list(self._logins[path], None)

    def _list(self, login_id: str, products: int | None) -> None:
        change = {"products": products}
        self._sandbox.patch(f"/sandbox/logins/{login_id}", json=change).raise_for_status()

    def looked(self, path: str) -> Taken:
        """What one look at the whole catalogue takes."""
        self._reset_peak()
        before, began = self.cpu(), time.monotonic()
        sync = self._sync(path)
        known = sync["last"] and sync["last"]["began_at"]
        self._get(f"{path}/products", refresh=True, limit=1)
        while (last := self._sync(path)["last"]) is None or last["began_at"] == known:
            if time.monotonic() - began > PATIENCE:
                raise SystemExit(f"the look did not end within {PATIENCE:g} s")
            time.sleep(0.2)
        return Taken(last, self.cpu() - before, self._peak(), time.monotonic() - began)

    def pages(self, path: str, times: int, **params: Any) -> float:
        """Milliseconds of processor time that the service takes for a page of the list."""
        before = self.cpu()
        for _ in range(times):
            self._get(f"{path}/products", **params)
        return (self.cpu() - before) / times * 1000

    def _sync(self, path: str) -> Json:
        return self._get(f"{path}/catalogue-sync")

    def _get(self, path: str, **params: Any) -> Json:
        found: Json = self._http.get(path, params=params).raise_for_status().json()
        return found

    def _post(self, path: str, body: Json) -> Json:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        made: Json = self._http.post(path, json=body, headers=headers).raise_for_status().json()
        return made

    def _reset_peak(self) -> None:
        """Let the kernel count the largest resident size anew."""
        Path(f"/proc/{self._stack.pid('reseller')}/clear_refs").write_text("5")

    def _peak(self) -> float:
        status = Path(f"/proc/{self._stack.pid('reseller')}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1024


def measure(stack: Stack, times: int) -> bool:
    """Take the figures, print them, and answer whether the goals are met."""
    bench = Bench(stack)
    try:
        # the job looks at a new reseller too, whenever it likes; only then are looks the asker's own
        few, many = bench.reseller(FEW), bench.reseller(1)
        bench.list_all(many)
        first, again = bench.looked(many), bench.looked(many)
        ratios = _pages(bench, few, many, times)
    finally:
        bench.close()
    for name, taken in (("first look", first), ("look without news", again)):
        rows, written = taken.outcome["rows"], taken.outcome["changed"]
        sys.stdout.write(
            f"{name:<20} {rows} products, {written} written, {taken.outcome['outcome']}: "
            f"{taken.cpu_seconds:.1f} s of CPU in {taken.seconds:.1f} s, "
            f"{taken.peak_mib:.0f} MiB at most\n"
        )
    cpu = max(first.cpu_seconds, again.cpu_seconds)
    peak = max(first.peak_mib, again.peak_mib)
    goals = {
        f"CPU of a look ≤ {CPU_GOAL:.0f} s": cpu <= CPU_GOAL,
        f"memory ≤ {MEMORY_GOAL:.0f} MiB": peak <= MEMORY_GOAL,
        f"page at all products ≤ {RATIO_GOAL} × at {FEW}": max(ratios) <= RATIO_GOAL,
    }
    for goal, met in goals.items():
        sys.stdout.write(f"goal: {goal}: {'met' if met else 'MISSED'}\n")
    return all(goals.values())


def _pages(bench: Bench, few: str, many: str, times: int) -> list[float]:
    """How much more a page takes of many products than of few, for each kind of list."""
    ratios = []
    kinds: dict[str, Json] = {
        "by name": {},
        "with a word": {"q": "sample"},
        "of a vendor": {"vendor": "SIMMICROSOFT"},
    }
    for name, params in kinds.items():
        # side by side, and the least of each: what else runs on the machine can only add
        turns = [
            [bench.pages(path, times, limit=50, **params) for path in (few, many)]
            for _ in range(TURNS + 1)
        ][1:]
        small, large = (min(figures) for figures in zip(*turns, strict=True))
        ratios.append(large / small if small else 1.0)
        sys.stdout.write(
            f"page of 50 {name:<12} {small:.2f} ms of CPU at {FEW}, {large:.2f} ms at all: "
            f"× {ratios[-1]:.2f}\n"
        )
    return ratios


def main() -> int:
    """Measure on a stack of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--products", type=int, default=5000)
    parser.add_argument("--pages", type=int, default=40, help="in each turn of each list")
    given = parser.parse_args()
    environment = {"SANDBOX_PRODUCTS": str(given.products)}
    with tempfile.TemporaryDirectory(prefix="purser-benchmark-") as home:
        stack = Stack(Path(home), Ports.free(), environment=environment)
        stack.up()
        try:
            good = measure(stack, given.pages)
        finally:
            stack.down()
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
