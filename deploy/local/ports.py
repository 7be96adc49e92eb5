"""Where the programs of a stack listen, and whether they can."""

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Self

HOST = "127.0.0.1"


class PortTaken(Exception):
    """Somebody else listens where a program of the stack should; the message says how to move it."""


@dataclass(frozen=True)
class Ports:
    """One port for each program; each moves by its setting `<NAME>_PORT`."""

    kafka: int = 19092
    kafka_controller: int = 19093
    mongo: int = 27117
    gateway: int = 8600
    reseller: int = 8601
    tenant_connection: int = 8602
    subscription: int = 8603
    order: int = 8604
    audit: int = 8605
    sandbox: int = 8610

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all ports."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def starting_at(cls, base: int) -> Self:
        """Consecutive ports, so that several stacks run side by side."""
        return cls(**{name: base + step for step, name in enumerate(cls.names())})

    @classmethod
    def free(cls) -> Self:
        """Ports that nobody uses at the moment."""
        return cls.starting_at(free_ports(len(cls.names()))[0])

    def moved(self, environment: Mapping[str, str] = os.environ) -> Self:
        """With the settings `<NAME>_PORT` of the environment. Raises ValueError for a bad one."""
        moves = {}
        for name in self.names():
            given = environment.get(setting(name))
            if given is None:
                continue
            if not given.isdecimal() or not 0 < int(given) < 65536:
                raise ValueError(f"{setting(name)}={given!r} is not a port (1 to 65535)")
            moves[name] = int(given)
        return replace(self, **moves)

    def of(self, program: str) -> int:
        """The port on which a program answers."""
        number: int = getattr(self, program.replace("-", "_"))
        return number

    def require_free(self, programs: tuple[str, ...]) -> None:
        """Raises PortTaken for the first port that somebody else has."""
        needed = (*programs, "kafka_controller") if "kafka" in programs else programs
        for program in needed:
            if _is_taken(self.of(program)):
                raise PortTaken(
                    f"port {self.of(program)}, where {program} should listen, is taken by another "
                    f"process: end that one, or move this with {setting(program)}=<port>"
                )


def free_ports(count: int) -> list[int]:
    """Consecutive ports that nobody uses at the moment.

    Below the range that the system hands out for outgoing connections: one of those could otherwise
    take the port of a server that a test has stopped for a while.
    """
    while True:
        base = 20_000 + 16 * secrets.randbelow(750)  # seeded, two test workers would draw the same
        found = list(range(base, base + count))
        if not any(_is_taken(port) for port in found):
            return found


def setting(program: str) -> str:
    """The setting that moves a program's port."""
    return f"{program.upper().replace('-', '_')}_PORT"


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def answers(port: int) -> bool:
    """Whether something listens."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
