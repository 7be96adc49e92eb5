"""A local stack: Kafka, MongoDB, the sandbox and the services as processes under supervisord.

    python deploy/local/stack.py {keys,up,down,status,run} [--home .local] [--base-port N]

`Stack` is what the command line, the tests and the measurements share.
"""

import contextlib
import ctypes
import hashlib
import http.client
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import local_servers
from ports import HOST, Ports, answers, setting
from program_settings import SERVICES, program_settings
from supervision import Supervision, configured

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SERVERS = ("kafka", "mongo")
PROGRAMS = (*SERVERS, "sandbox", *SERVICES)
PATIENCE = 120.0
STARTS = 3


class StackError(Exception):
    """The stack cannot be started or did not come up; the message says why."""


def silent(_line: str) -> None:
    """Report nothing."""


class Stack:
    """One set of processes with one home directory, which keeps data, keys and logs."""

    def __init__(
        self,
        home: Path,
        ports: Ports | None = None,
        environment: Mapping[str, str] | None = None,
        only: tuple[str, ...] = PROGRAMS,
        report: Callable[[str], None] = silent,
        own: Mapping[str, Mapping[str, str]] | None = None,
        doors: local_servers.Doors = (),
    ) -> None:
        """`environment` overrides settings of every program, `own` those of single ones.

        `only` limits what is started; `doors` are further listeners of Kafka.
        """
        self.home = home.resolve()
        self.ports = ports or Ports()
        self.only = tuple(program for program in PROGRAMS if program in only)
        self._overrides = dict(environment or {})
        self._own = own or {}
        self._doors = doors
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = _socket_path(self.home)
        self.supervision = Supervision(self._socket)

    # -- addresses ---------------------------------------------------------------------------------

    @property
    def kafka(self) -> str:
        """Kafka's bootstrap servers."""
        return f"{HOST}:{self.ports.kafka}"

    @property
    def mongo_url(self) -> str:
        """MongoDB's address."""
        return f"mongodb://{HOST}:{self.ports.mongo}"

    def url(self, program: str) -> str:
        """The HTTP address of the sandbox or a service."""
        return f"http://{HOST}:{self.ports.of(program)}"

    # -- life --------------------------------------------------------------------------------------

    def up(self, *, tied: bool = True) -> None:
        """Start everything and wait until it is ready.

        `tied` ends the stack with this process, however that ends. Raises StackError, Missing or
        PortTaken.
        """
        if self.is_up():
            raise StackError(
                f"a stack already runs from {self.home} (pid {self.supervision.call('getPID')}): "
                f"end it with Ctrl-C where it was started, or with `stack.py down`"
            )
        tools = local_servers.find()
        self.ports.require_free(self.only)
        self._prepare()
        try:
            self._supervise(tools, tied)
            self._start_all()
        except BaseException:
            self.down()
            raise

    def create_keys(self) -> None:
        """Create the keys that are missing: those that exist stay, and seal the data beside them."""
        import credentials  # needs the installed environment, which the servers alone do not

        credentials.create(self.home / "keys", SERVICES)

    def is_up(self) -> bool:
        """Whether this home's supervisord runs."""
        return self.supervision.answers()

    def down(self) -> None:
        """End everything that was started here: services before the servers that they use."""
        if self.is_up():
            pids = [int(program["pid"]) for program in self.supervision.programs().values()]
            pids.append(int(self.supervision.call("getPID")))
            self.supervision.stop(*(p for p in PROGRAMS if p not in SERVERS))
            self.supervision.stop(*SERVERS)
            self.supervision.call("shutdown")
            self._await_end([pid for pid in pids if pid])
        if self._process is not None:
            self._process.wait(timeout=40)
            self._process = None
        self._socket.unlink(missing_ok=True)

    def _await_end(self, pids: list[int]) -> None:
        deadline = time.monotonic() + 40
        while alive := [pid for pid in pids if self._runs(pid)]:
            if time.monotonic() > deadline:
                raise StackError(f"processes {alive} did not end")
            time.sleep(0.05)

    def _runs(self, pid: int) -> bool:
        if self._process is not None and pid == self._process.pid:
            return self._process.poll() is None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True

    # -- single programs ---------------------------------------------------------------------------

    def pid(self, program: str) -> int:
        """A program's process id; 0 when it does not run."""
        return self.supervision.pid(program)

    def kill(self, program: str) -> int:
        """SIGKILL a program, which is then supervised back. Returns the pid that was killed."""
        return self.supervision.kill(program)

    def stop(self, program: str, *, suddenly: bool = False) -> None:
        """End a program, in order or by SIGKILL, and keep it ended until `start`."""
        if suddenly:
            self.kill(program)
        self.supervision.stop(program)

    def start(self, program: str, *, within: float = PATIENCE) -> None:
        """Start a program and wait until it is ready. Raises StackError."""
        self.supervision.start(program)
        self.await_ready((program,), within=within)

    def pause(self, program: str) -> None:
        """Freeze a program (SIGSTOP): it hangs without ending."""
        os.kill(self.pid(program), signal.SIGSTOP)

    def resume(self, program: str) -> None:
        """Let a frozen program go on."""
        os.kill(self.pid(program), signal.SIGCONT)

    def log(self, program: str, lines: int = 20) -> str:
        """The last lines that a program wrote."""
        path = self.home / "logs" / f"{program}.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    # -- figures -----------------------------------------------------------------------------------

    def memory(self) -> dict[str, int]:
        """Resident bytes of each running program and of the supervisor."""
        return {name: _resident(pid) for name, pid in self._pids().items()}

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time that each running program and the supervisor have used."""
        return {name: _processor_seconds(pid) for name, pid in self._pids().items()}

    def _pids(self) -> dict[str, int]:
        programs = self.supervision.programs()
        running = {name: int(p["pid"]) for name, p in programs.items() if p["pid"]}
        return {**running, "supervisord": int(self.supervision.call("getPID"))}

    # -- starting ----------------------------------------------------------------------------------

    def _prepare(self) -> None:
        for directory in (self.home, self.home / "logs"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if set(self.only) - set(SERVERS):
            self.create_keys()

    def _supervise(self, tools: local_servers.Tools, tied: bool) -> None:
        command = [sys.executable, "-m", "supervisor.supervisord"]
        template = HERE / "supervisord.conf"
        command += ["-c", str(configured(template, self.home / template.name, self._own))]
        output = (self.home / "logs" / "supervisord.out").open("wb")
        with output:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                env=self._environment(tools),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; we then end the others in order
                preexec_fn=_end_with_parent if tied and sys.platform == "linux" else None,
            )
        self._await(self.is_up, 15.0, "supervisord does not answer", "supervisord")

    def _environment(self, tools: local_servers.Tools) -> dict[str, str]:
        ports = self.ports
        kafka = (
            tools.kafka(self.home, ports.kafka, ports.kafka_controller, self._doors)
            if "kafka" in self.only
            else []
        )
        mongo = tools.mongo(self.home, ports.mongo) if "mongo" in self.only else []
        layout = {
            "PYTHON": sys.executable,
            "KAFKA_COMMAND": shlex.join(kafka or ["false"]),
            "MONGO_COMMAND": shlex.join(mongo or ["false"]),
            "STACK_HOME": str(self.home),
            "STACK_ROOT": str(ROOT),
            "STACK_SOCKET": str(self._socket),
            **{setting(name): str(getattr(ports, name)) for name in Ports.names()},
        }
        return {**os.environ, **program_settings(self.home, ports), **layout, **self._overrides}

    def _start_all(self) -> None:
        first = tuple(p for p in self.only if p in (*SERVERS, "sandbox"))
        services = tuple(p for p in self.only if p in SERVICES)
        for program in first:
            self.supervision.start(program)
        self.await_ready(tuple(p for p in first if p in SERVERS))
        if "kafka" in self.only and services:
            self._provision()
        for program in services:
            self.supervision.start(program)
        self.await_ready((*(p for p in first if p == "sandbox"), *services))

    def _provision(self) -> None:
        began = time.monotonic()
        command = [sys.executable, "-m", "purser_cli.main", "topics", "provision"]
        command += ["--bootstrap-servers", self.kafka, "--partitions", "3", "--replication", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise StackError(f"the topics cannot be provisioned: {done.stdout}{done.stderr}")
        self._report(f"{'topics':<18} provisioned after {time.monotonic() - began:.1f} s")

    # -- waiting -----------------------------------------------------------------------------------

    def is_ready(self, program: str) -> bool:
        """Whether a program serves: a server listens, a service says so itself."""
        if program in SERVERS:
            return answers(self.ports.of(program))
        try:
            connection = http.client.HTTPConnection(HOST, self.ports.of(program), timeout=2)
            with contextlib.closing(connection):
                path = "/sandbox/health" if program == "sandbox" else "/health/ready"
                connection.request("GET", path)
                return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def await_ready(self, programs: tuple[str, ...], *, within: float = PATIENCE) -> None:
        """Wait for programs, saying when each is ready. Raises StackError with what it wrote."""
        began = time.monotonic()
        waiting = list(programs)
        pids: dict[str, set[int]] = {program: set() for program in programs}

        def all_ready() -> bool:
            for program in [p for p in waiting if self.is_ready(p)]:
                waiting.remove(program)
                passed = time.monotonic() - began
                where = f"{HOST}:{self.ports.of(program)}"
                self._report(f"{program:<18} ready on {where} after {passed:.1f} s")
            for program in waiting:
                self._count_starts(program, pids[program])
            return not waiting

        self._await(all_ready, within, "did not become ready", waiting)

    def _count_starts(self, program: str, pids: set[int]) -> None:
        """Notice each new start; a program that keeps ending will not become ready by waiting."""
        pid = self.pid(program)
        if pid == 0 or pid in pids:
            return
        if pids:
            self._report(f"{program:<18} ended, is started again: {self.log(program, 1)}")
        pids.add(pid)
        if len(pids) > STARTS:
            raise StackError(f"{program} keeps ending\n--- {program}\n{self.log(program)}")

    def _await(
        self, check: Callable[[], bool], within: float, trouble: str, programs: list[str] | str
    ) -> None:
        deadline = time.monotonic() + within
        while not check():
            named = [programs] if isinstance(programs, str) else programs
            if self._process is not None and self._process.poll() is not None:
                output = (self.home / "logs" / "supervisord.out").read_text(errors="replace")
                raise StackError(f"supervisord ended: {output or self.log('supervisord')}")
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {program}\n{self.log(program)}" for program in named)
                raise StackError(f"{', '.join(named)} {trouble} within {within:.0f} s\n{logs}")
            time.sleep(0.05)


def _socket_path(home: Path) -> Path:
    """Beside the data; in the temporary directory when the path is too long for a socket."""
    beside = home / "supervisor.sock"
    if len(str(beside)) < 90:
        return beside
    name = hashlib.sha256(str(home).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"purser-{name}.sock"


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _resident(pid: int) -> int:
    pages: Any = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    from command import main

    raise SystemExit(main())
