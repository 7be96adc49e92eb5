"""`purser dlq`: records that a consumer group has put aside."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from purser_cli.services import (
    KEY_FILE,
    PUBLIC_KEYS,
    DryRun,
    KeyFile,
    PublicKeys,
    Services,
    consuming,
    give_up,
    owner,
)

app = typer.Typer(
    no_args_is_help=True, help="Dead letters: records that a consumer group has put aside."
)
Group = Annotated[str | None, typer.Option(help="Only this consumer group's.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command("list")
def listed(
    group: Group = None,
    record_key: Annotated[str | None, typer.Option("--key", help="Only of this key.")] = None,
    settled: Annotated[bool, typer.Option("--settled", help="Settled ones too.")] = False,
    as_json: Json = False,
    key: KeyFile = KEY_FILE,
    public_keys: PublicKeys = PUBLIC_KEYS,
) -> None:
    """What waits in the dead letters, oldest first."""
    services = Services.signed_with(key, public_keys)
    table = _table("dead letters")
    query: dict[str, Any] = {"group": group, "key": record_key, "settled": settled}
    names = [owner(group)] if group else consuming()
    for _, letters in services.each(names, lambda name: _letters(services, name, query)):
        for one in letters:
            _tell(one, table, as_json)
    _print(table, as_json)
    services.finish()


def _letters(services: Services, name: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    """Every letter of one service."""
    letters: list[dict[str, Any]] = []
    more = True
    while more:
        after = letters[-1]["id"] if letters else None
        found = services.ask(name, "GET", "/dead-letters", **query, after=after)
        letters += found["items"] if found else ()
        more = bool(found and found["more"])
    return letters


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="As `purser dlq list` tells it.")],
    key: KeyFile = KEY_FILE,
    public_keys: PublicKeys = PUBLIC_KEYS,
) -> None:
    """Everything about one letter: headers, value, and why it cannot be read. Secrets are hidden."""
    services = Services.signed_with(key, public_keys)
    found = services.ask(owner(id.partition("/")[0]), "GET", f"/dead-letters/{id}")
    if found:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    services.finish()


@app.command()
def replay(
    id: Annotated[str | None, typer.Option(help="One letter.")] = None,
    record_key: Annotated[str | None, typer.Option("--key", help="All of this key.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    group: Group = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    key: KeyFile = KEY_FILE,
    public_keys: PublicKeys = PUBLIC_KEYS,
) -> None:
    """Let the group's own handler take letters again. What fails again stays, and fails the command."""
    if (id is not None) + (record_key is not None) + everything != 1:
        give_up("name exactly one of --id, --key and --all")
    services = Services.signed_with(key, public_keys)
    group = id.partition("/")[0] if id else group
    body = {"id": id, "key": record_key, "all": everything or None, "dry_run": dry_run}
    body["group"] = None if id else group
    table = _table("would be replayed" if dry_run else "replayed")
    for name in [owner(group)] if group else consuming():
        _replay(services, name, body, lambda one: _tell(one, table, as_json))
    _print(table, as_json)
    services.finish()


def _replay(
    services: Services, name: str, body: dict[str, Any], tell: Callable[[dict[str, Any]], None]
) -> None:
    """Let one service go through its letters, as far as no outage stops it."""
    after: str | None = None
    while True:
        found = services.ask(name, "POST", "/dead-letters/replays", {**body, "after": after})
        for one in found["items"] if found else ():
            tell(one)
            after = one["id"]
            if one["outcome"] in ("failed", "waits"):
                services.fail(f"{one['id']}: {one['detail']}")
        if not found or not found["more"] or found["items"][-1]["outcome"] == "waits":
            return


@app.command()
def discard(
    id: Annotated[str, typer.Option(help="The letter.")],
    reason: Annotated[str, typer.Option(help="Why nothing is lost by it; kept with the letter.")],
    dry_run: DryRun = False,
    key: KeyFile = KEY_FILE,
    public_keys: PublicKeys = PUBLIC_KEYS,
) -> None:
    """Settle a letter that nothing will ever make readable, without handling it."""
    services = Services.signed_with(key, public_keys)
    body = {"id": id, "reason": reason, "dry_run": dry_run}
    found = services.ask(owner(id.partition("/")[0]), "POST", "/dead-letters/discards", body)
    if found:
        typer.echo(f"{found['id']}: {found['outcome']}")
    services.finish()


def _table(title: str) -> Table:
    table = Table("letter", "put aside", "record", "key", "type", "error", "outcome", title=title)
    for column in table.columns:
        column.overflow = "fold"
    return table


def _tell(one: dict[str, Any], table: Table, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(one))
    table.add_row(
        *(str(one[name]) for name in ("id", "at", "source", "key", "type", "error")),
        str(one.get("outcome", "")),
    )


def _print(table: Table, as_json: bool) -> None:
    if not as_json:
        Console().print(table)
