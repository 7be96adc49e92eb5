"""`purser token`: an access token from the sandbox's issuer, for scripts and for trying the API."""

from typing import Annotated

import httpx
import typer

ISSUER = "http://127.0.0.1:8610/oidc"


def fetch(issuer: str, user: str, password: str) -> str:
    """An access token for a user. Ends the command with a clear line when there is none."""
    form = {
        "grant_type": "password",
        "client_id": "purser-cli",
        "username": user,
        "password": password,
        "scope": "openid",
    }
    try:
        answer = httpx.post(f"{issuer}/token", data=form, timeout=10)
    except httpx.HTTPError as error:
        raise typer.BadParameter(f"no issuer at {issuer}; is the system running?") from error
    if answer.status_code != 200:
        raise typer.BadParameter(f"the issuer refused {user}: {answer.json().get('error')}")
    return str(answer.json()["access_token"])


def token(
    user: Annotated[str, typer.Option(help="A demo user: admin, requester, viewer, …")] = "admin",
    password: Annotated[str | None, typer.Option(help="Default: purser-<user>.")] = None,
    issuer: Annotated[str, typer.Option(envvar="OIDC__ISSUER")] = ISSUER,
) -> None:
    """Print an access token of a demo user of the sandbox."""
    typer.echo(fetch(issuer, user, password or f"purser-{user}"))
