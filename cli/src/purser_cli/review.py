"""`purser review`: purchases whose outcome only a person can settle, through the gateway."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from purser_cli.gateway import Gateway, Refused
from purser_cli.services import DryRun, give_up

app = typer.Typer(
    no_args_is_help=True, help="Orders whose outcome is unknown: a person links, resends, ends."
)
Url = Annotated[str, typer.Option(envvar="GATEWAY_URL")]
Token = Annotated[
    str | None, typer.Option(envvar="PURSER_TOKEN", help="An access token of a purchaser.")
]
Id = Annotated[str, typer.Argument(help="The request, as `purser review list` tells it.")]
URL = "http://127.0.0.1:8600"
ANSWERS = ("link", "not_placed", "give_up")


@app.command("list")
def listed(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    gateway_url: Url = URL,
    token: Token = None,
) -> None:
    """Every request that waits for a person's answer, the longest wait first."""
    gateway = _gateway(gateway_url, token)
    table = Table("request", "since", "tenant", "what", "PO number sent", title="waiting")
    items = _asked(lambda: gateway.all("/v1/review-items", limit=200))
    for one in sorted(items, key=lambda item: str(item["requested_at"])):
        if as_json:
            typer.echo(json.dumps(one))
        what = f"{one['kind']} {one['quantity']} x {one['product_name']}"
        age = _age(one["requested_at"])
        table.add_row(one["id"], age, one["tenant_id"], what, one["po_number_sent"])
    if not as_json:
        Console().print(table)


@app.command()
def show(id: Id, gateway_url: Url = URL, token: Token = None) -> None:
    """One request: every attempt to send it, what showed its order, and since when none did."""
    gateway = _gateway(gateway_url, token)
    found = _asked(lambda: gateway.call("GET", f"/v1/license-change-requests/{id}").body)
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False))


@app.command()
def settle(
    id: Id,
    answer: Annotated[str, typer.Option(help="link, not_placed or give_up.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the request.")],
    order_id: Annotated[
        str | None, typer.Option(help="With link: the marketplace's id of the order.")
    ] = None,
    dry_run: DryRun = False,
    gateway_url: Url = URL,
    token: Token = None,
) -> None:
    """Link the order, let it be sent again once that is safe, or end the request."""
    if answer not in ANSWERS:
        give_up(f"--answer {answer}: choose from {', '.join(ANSWERS)}")
    if (answer == "link") != (order_id is not None):
        give_up("--order-id goes with --answer link, and only with it")
    gateway = _gateway(gateway_url, token)
    body = {"answer": answer, "order_id": order_id, "reason": reason}
    what = "settlement-previews" if dry_run else "settlements"
    found = _asked(lambda: gateway.call("POST", f"/v1/review-items/{id}/{what}", body).body)
    typer.echo(f"{id}: {'would become' if dry_run else 'is'} {found['status']}")


def _gateway(url: str, token: str | None) -> Gateway:
    if not token:
        give_up(
            "set PURSER_TOKEN or give --token: an access token of a purchaser "
            "(with the sandbox: purser token --user purchaser)"
        )
    return Gateway(url, token)


def _asked(ask: Callable[[], Any]) -> Any:
    """The answer. Ends the command with the refusal's own words."""
    try:
        return ask()
    except (Refused, httpx.HTTPError) as error:
        give_up(str(error))


def _age(since: str) -> str:
    waited = datetime.now(UTC) - datetime.fromisoformat(since)
    hours, minutes = divmod(int(waited.total_seconds()) // 60, 60)
    return f"{hours} h {minutes:02} min"
