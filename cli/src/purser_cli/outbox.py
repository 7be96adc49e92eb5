"""`purser outbox`: facts that wait for Kafka."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from purser_cli.services import (
    KEY_FILE,
    PUBLIC_KEYS,
    Chosen,
    DryRun,
    KeyFile,
    PublicKeys,
    Services,
    chosen,
)

app = typer.Typer(no_args_is_help=True, help="Facts that wait for Kafka, in each service.")


@app.command("list")
def listed(
    service: Chosen = None,
    limit: Annotated[int, typer.Option(help="Documents shown for each service.")] = 20,
    as_json: Annotated[bool, typer.Option("--json")] = False,
    key: KeyFile = KEY_FILE,
    public_keys: PublicKeys = PUBLIC_KEYS,
) -> None:
    """How many documents wait in each service, since when, and which are the oldest."""
    services = Services.signed_with(key, public_keys)
    table = Table("service", "documents", "oldest", "document", "facts", title="waiting for Kafka")
    asked = services.each(
        chosen(service), lambda name: services.ask(name, "GET", "/outbox", limit=limit)
    )
    for name, found in asked:
        if found is None:
            continue
        if as_json:
            typer.echo(json.dumps(found))
        table.add_row(name, str(found["documents"]), f"{found['oldest_seconds']:.0f} s", "", "")
        for one in found["items"]:
            place = f"{one['collection']}/{one['id']}"
            table.add_row("", "", f"{one['age_seconds']:.0f} s", place, ", ".join(one["topics"]))
    if not as_json:
        Console().print(table)
    services.finish()


@app.command()
def publish(
    service: Chosen = None,
    dry_run: DryRun = False,
    key: KeyFile = KEY_FILE,
    public_keys: PublicKeys = PUBLIC_KEYS,
) -> None:
    """Publish what waits now; the services do so by themselves every few seconds."""
    services = Services.signed_with(key, public_keys)
    for name in chosen(service):
        done, again = 0, True
        while again:
            found = services.ask(name, "POST", "/outbox/publications", {"dry_run": dry_run})
            if found is None:
                break
            done += len(found["items"])
            if found["trouble"]:
                services.fail(f"{name}: stopped: {found['trouble']}")
            again = bool(found["left"] and found["items"]) and not (dry_run or found["trouble"])
        verb = "would be published" if dry_run else "published"
        typer.echo(f"{name}: the facts of {done} documents {verb}")
    services.finish()
