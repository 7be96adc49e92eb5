"""The services' own addresses, asked with the operator's key."""

import getpass
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import httpx
import typer

from purser_cli.gateway import Refused
from purser_common import settings
from purser_common.identity import Caller, InternalTokens
from purser_events.topics import CONSUMER_GROUPS

T = TypeVar("T")

SERVICES = {
    "gateway": "http://127.0.0.1:8600",
    "reseller": "http://127.0.0.1:8601",
    "tenant-connection": "http://127.0.0.1:8602",
    "subscription": "http://127.0.0.1:8603",
    "order": "http://127.0.0.1:8604",
    "audit": "http://127.0.0.1:8605",
}
"""Where each listens unless `<NAME>_URL` says otherwise."""

KeyFile = Annotated[
    Path,
    typer.Option(
        "--operator-key", envvar="IDENTITY__PRIVATE_KEY_FILE", help="The operator's private key."
    ),
]
PublicKeys = Annotated[
    Path, typer.Option(envvar="IDENTITY__PUBLIC_KEYS_DIR", help="Everybody's public keys.")
]
Chosen = Annotated[
    list[str] | None, typer.Option("--service", help="Only this service; may be repeated.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would happen; change nothing.")]
KEY_FILE = Path(".local/keys/operator/private.pem")
PUBLIC_KEYS = Path(".local/keys/public")


@dataclass
class Services:
    """Calls to services in an operator's name."""

    tokens: InternalTokens
    caller: Caller
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=120))
    failed: bool = False

    @classmethod
    def signed_with(cls, key: Path, public_keys: Path) -> "Services":
        """With the operator's key. Ends the command with a clear line when it cannot be used."""
        identity = settings.Identity(private_key_file=key, public_keys_dir=public_keys)
        try:
            tokens = InternalTokens("operator", identity, ())
        except (OSError, ValueError) as error:
            give_up(f"the operator's key cannot be used: {error}")
        return cls(tokens, Caller(f"operator:{getpass.getuser()}"))

    def ask(self, service: str, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The JSON of an answer; None when there is none, which is told and fails the command."""
        name = f"{service.upper().replace('-', '_')}_URL"
        url = f"{os.environ.get(name, SERVICES[service])}/internal/ops{path}"
        params = {key: value for key, value in query.items() if value is not None}
        headers = {"Authorization": f"Bearer {self.tokens.mint(service, self.caller)}"}
        try:
            answer = self.http.request(method, url, json=body, params=params, headers=headers)
        except httpx.HTTPError as error:
            self.fail(f"{service}: no answer from {url}: {error}")
            return None
        if answer.status_code >= 400:
            self.fail(f"{service}: {Refused(method, path, answer)}")
            return None
        return answer.json()

    def each(self, names: Sequence[str], ask: Callable[[str], T]) -> Iterator[tuple[str, T]]:
        """What `ask` finds at each service, in the order of the names; all are asked at once."""
        with ThreadPoolExecutor(len(names)) as pool:
            yield from zip(names, pool.map(ask, names), strict=True)

    def fail(self, why: str) -> None:
        """Tell what went wrong; the command goes on with the rest, and fails at its end."""
        sys.stderr.write(f"{why}\n")
        self.failed = True

    def finish(self) -> None:
        """End the command, with exit code 1 when something went wrong."""
        if self.failed:
            raise typer.Exit(1)


def chosen(names: list[str] | None) -> list[str]:
    """The services that were named, or all. Ends the command for an unknown name."""
    known = list(SERVICES)
    for name in names or ():
        if name not in known:
            give_up(f"--service {name}: choose from {', '.join(known)}")
    return names or known


def consuming() -> list[str]:
    """The services that consume, and so may have put something aside."""
    return list(dict.fromkeys(group.partition(".")[0] for group in CONSUMER_GROUPS))


def owner(group: str) -> str:
    """The service whose group it is. Ends the command for an unknown group."""
    if group not in CONSUMER_GROUPS:
        give_up(f"{group} is no consumer group: choose from {', '.join(CONSUMER_GROUPS)}")
    return group.partition(".")[0]


def give_up(why: str) -> NoReturn:
    """End the command with one line."""
    sys.stderr.write(f"{why}\n")
    raise typer.Exit(1)
