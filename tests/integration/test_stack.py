"""The stack behind `make run`: what it says when the machine lacks something, and how it ends."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import credentials
import pytest
from ports import Ports
from program_settings import SERVICES
from stack import Stack, StackError

from purser_common import settings
from purser_common.identity import Caller, InternalTokens
from purser_common.testing import eventually

ROOT = Path(__file__).parents[2]
STACK = [sys.executable, str(ROOT / "deploy/local/stack.py")]
SERVERS = ("kafka", "mongo")


def start(home: Path, ports: Ports, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if k not in ("JAVA_HOME", "MONGOD")}
    names = ("kafka", "kafka_controller", "mongo")
    moves = {f"{name.upper()}_PORT": str(getattr(ports, name)) for name in names}
    return subprocess.run(
        [*STACK, "up", "--home", str(home), "--only", "kafka,mongo"],
        env={**inherited, **moves, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1
    assert [word for word in words if word not in done.stderr] == [], done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_named_with_the_setting_that_moves_it(tmp_path: Path) -> None:
    free = Ports.free()
    with socket.socket() as other:
        other.bind(("127.0.0.1", free.mongo))
        other.listen()
        done = start(tmp_path, free)
    assert_refused(done, f"port {free.mongo}, where mongo should listen, is taken", "MONGO_PORT=")


def test_a_port_that_is_no_number_is_named(tmp_path: Path) -> None:
    done = start(tmp_path, Ports.free(), KAFKA_PORT="nineteen")
    assert_refused(done, "KAFKA_PORT='nineteen' is not a port")


def test_a_missing_java_says_what_to_install(tmp_path: Path) -> None:
    done = start(tmp_path, Ports.free(), PATH=str(tmp_path))
    assert_refused(done, "Java is missing: install a Java 17 or newer")


def test_a_second_stack_from_the_same_home_is_refused_and_the_first_lives_on(
    tmp_path: Path,
) -> None:
    first = Stack(tmp_path, Ports.free(), only=("mongo",))
    first.up()
    try:
        with pytest.raises(StackError, match="a stack already runs from"):
            Stack(tmp_path, Ports.free(), only=("mongo",)).up()
        done = subprocess.run(
            [*STACK, "run", "--home", str(tmp_path), "--only", "mongo"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert_refused(done, "a stack already runs from")
        assert first.is_ready("mongo")
    finally:
        first.down()


def test_a_program_that_keeps_ending_is_told_with_what_it_wrote(tmp_path: Path) -> None:
    stack = Stack(tmp_path, Ports.free(), {"KAFKA__PARTITIONS": "some"}, only=("audit",))
    with pytest.raises(StackError, match=r"(?s)audit keeps ending.*setting KAFKA__PARTITIONS"):
        stack.up()
    assert not stack.is_up()


async def test_a_killed_program_is_supervised_back_and_everything_ends(tmp_path: Path) -> None:
    free = Ports.free()
    stack = Stack(tmp_path, free, only=SERVERS)
    stack.up()
    try:
        pids = {stack.pid(server) for server in SERVERS}
        await eventually(lambda: stack.supervision.state("mongo") == "RUNNING")
        killed = stack.kill("mongo")
        await eventually(lambda: stack.pid("mongo") not in (0, killed), within=10)
        stack.await_ready(("mongo",), within=10)
        assert set(stack.memory()) == {"kafka", "mongo", "supervisord"}
        pids.add(stack.pid("mongo"))
    finally:
        stack.down()
    assert [pid for pid in pids if runs(pid)] == []
    free.require_free(SERVERS)


async def test_a_stack_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    free = Ports.free()
    script = f"""
import pathlib, sys, time
from ports import Ports
from stack import Stack
stack = Stack(pathlib.Path({str(tmp_path)!r}), Ports.starting_at({free.kafka}), only=("mongo",))
stack.up()
sys.stdout.write(f"{{stack.pid('mongo')}}\\n")
sys.stdout.flush()
time.sleep(60)
"""
    starter = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script), stdout=subprocess.PIPE, cwd=ROOT / "deploy/local"
    )
    assert starter.stdout
    pid = int(await starter.stdout.readline())
    starter.kill()
    await starter.communicate()
    await eventually(lambda: not runs(pid), within=20)


def test_keys_are_their_owners_alone_and_are_never_replaced(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    credentials.create(keys, SERVICES)
    files = {path: path.read_bytes() for path in keys.rglob("*") if path.is_file()}
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o600"}
    assert {oct(p.stat().st_mode & 0o777) for p in keys.rglob("*") if p.is_dir()} == {"0o700"}
    credentials.create(keys, SERVICES)
    assert {path: path.read_bytes() for path in keys.rglob("*") if path.is_file()} == files


def test_setup_creates_the_keys_that_the_stack_then_starts_with(tmp_path: Path) -> None:
    def kept() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    command = [*STACK, "keys", "--home", str(tmp_path)]
    for _ in range(2):
        subprocess.run(command, check=True, timeout=60)
        made = kept()
    kinds = {path.name.partition("-")[0] for path in made}
    assert {"private.pem", "hmac.key", "local"} <= kinds
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}
    Stack(tmp_path, Ports.free()).create_keys()
    assert kept() == made


def test_a_service_signs_with_a_key_that_its_peers_know(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    credentials.create(keys, SERVICES)

    def tokens(service: str) -> InternalTokens:
        own = settings.Identity(
            private_key_file=keys / service / "private.pem", public_keys_dir=keys / "public"
        )
        return InternalTokens(service, own, accepts=("order",))

    minted = tokens("order").mint("reseller", Caller("user:somebody"))
    assert tokens("reseller").verify(minted).service == "order"
