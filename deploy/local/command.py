"""The command line of the local stack."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from local_servers import Missing
from ports import Ports, PortTaken
from stack import PROGRAMS, Stack, StackError

MIB = 1024 * 1024


def main() -> int:
    """Run one command. 0 when it went well, 1 with one clear line otherwise."""
    options = _parser().parse_args()
    try:
        return int(_run(options))
    except (StackError, PortTaken, Missing, ValueError) as trouble:
        sys.stderr.write(f"{trouble}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped while starting\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Kafka, MongoDB, sandbox and services, locally.")
    parser.add_argument("command", choices=("keys", "up", "down", "status", "run"))
    parser.add_argument("--home", type=Path, default=Path(".local"), help="data, keys and logs")
    parser.add_argument("--base-port", type=int, help="consecutive ports from here on")
    parser.add_argument("--only", default=",".join(PROGRAMS), help="programs, separated by commas")
    parser.add_argument("--journey", help="run: a command to run once everything is ready")
    parser.add_argument("--stay", action="store_true", help="run: stay up until Ctrl-C")
    parser.add_argument("--since", type=float, help="run: when the user began, seconds since 1970")
    return parser


def _run(options: argparse.Namespace) -> int:
    ports = Ports() if options.base_port is None else Ports.starting_at(options.base_port)
    only = tuple(options.only.split(","))
    if unknown := set(only) - set(PROGRAMS):
        raise ValueError(f"--only: {', '.join(unknown)} is none of {', '.join(PROGRAMS)}")
    stack = Stack(options.home, ports.moved(), only=only, report=_say)
    if options.command == "keys":
        stack.create_keys()
    elif options.command == "up":
        stack.up(tied=False)
    elif options.command == "down":
        stack.down()
    elif options.command == "status":
        return _status(stack)
    else:
        return _run_and_stay(stack, options)
    return 0


def _status(stack: Stack) -> int:
    if not stack.is_up():
        _say(f"nothing runs from {stack.home}")
        return 1
    memory = stack.memory()
    for name, program in stack.supervision.programs().items():
        if name in memory:
            where = f"port {stack.ports.of(name)}, pid {program['pid']}"
            _say(f"{name:<18} {program['statename']:<9} {where}, {memory[name] / MIB:.0f} MiB")
    _say(f"{'together':<18} {sum(memory.values()) / MIB:.0f} MiB resident")
    return 0


def _run_and_stay(stack: Stack, options: argparse.Namespace) -> int:
    ending = threading.Event()
    began = options.since or time.time()
    stack.up()
    try:
        for sign in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sign, lambda *_: ending.set())
        _say(f"everything is ready {time.time() - began:.0f} s after the start")
        code = _journey(stack, options.journey, began, ending) if options.journey else 0
        memory = stack.memory()
        _say(f"{sum(memory.values()) / MIB:.0f} MiB resident in {len(memory)} processes")
        if options.stay and not ending.is_set():
            _addresses(stack)
            ending.wait()
    finally:
        _say("stopping everything that was started")
        stack.down()
    return code


def _journey(stack: Stack, command: str, began: float, ending: threading.Event) -> int:
    told = {
        "GATEWAY_URL": stack.url("gateway"),
        "SANDBOX_URL": stack.url("sandbox"),
        "MAKE_STARTED": str(began),
    }
    process = subprocess.Popen(shlex.split(command), env={**os.environ, **told})  # noqa: S603
    while process.poll() is None:
        if ending.wait(0.05):
            process.terminate()
            process.wait()
    return int(process.returncode)


def _addresses(stack: Stack) -> None:
    gateway, sandbox = stack.url("gateway"), stack.url("sandbox")
    issuer = "" if stack.ports.sandbox == Ports().sandbox else f" --issuer {sandbox}/oidc"
    _say(
        f"""
To explore, until Ctrl-C ends it:
  API                {gateway}/docs
  a token            .venv/bin/purser token --user admin{issuer}   (or requester, approver, viewer …)
  sandbox            {sandbox}/sandbox
  executed orders    {sandbox}/sandbox/journal
  Kafka, MongoDB     {stack.kafka}, {stack.mongo_url}
  logs               {stack.home}/logs
"""
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
