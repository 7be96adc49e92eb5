"""`purser fill`: customers and tenants by the thousand, to see a system at size."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import httpx
import typer

from purser_cli.gateway import Gateway, Refused
from purser_cli.login import fetch
from purser_cli.services import give_up

BATCH = 500
"""Customers under one access token, which would not last for all."""
LARGEST = 100_000
_FILLED = uuid.uuid5(uuid.NAMESPACE_URL, "urn:purser:fill")


def fill(
    customers: Annotated[int, typer.Option(min=1, max=LARGEST, help="How many there shall be.")],
    tenants: Annotated[int, typer.Option(min=0, max=10, help="Of each customer.")] = 1,
    name: Annotated[
        str, typer.Option(help="Begins every name; the same name goes on where it ended.")
    ] = "Sample",
    at_once: Annotated[int, typer.Option(min=1, max=32, help="Calls at a time.")] = 8,
    gateway_url: Annotated[str, typer.Option(envvar="GATEWAY_URL")] = "http://127.0.0.1:8600",
    sandbox_url: Annotated[str, typer.Option(envvar="SANDBOX_URL")] = "http://127.0.0.1:8610",
) -> None:
    """Make customers with tenants through the gateway; what exists is found again, not made twice.

    The stand-in for MongoDB keeps to about 5,000 documents a collection; more is for a real one.
    """
    began = time.monotonic()
    try:
        with ThreadPoolExecutor(at_once) as pool:
            for first in range(0, customers, BATCH):
                gateway = Gateway(
                    gateway_url, fetch(f"{sandbox_url}/oidc", "admin", "purser-admin")
                )
                numbers = range(first, min(first + BATCH, customers))
                made = [pool.submit(_make, gateway, name, number, tenants) for number in numbers]
                for one in made:
                    one.result()
                gateway.close()
                typer.echo(f"{numbers.stop} customers after {time.monotonic() - began:.0f} s")
    except (Refused, httpx.HTTPError) as error:
        give_up(str(error))


def _make(gateway: Gateway, name: str, number: int, tenants: int) -> None:
    label = f"{name} {number:06}"
    body = {"name": label}
    customer = gateway.call("POST", "/v1/customers", body, key=str(uuid.uuid5(_FILLED, label)))
    for one in range(tenants):
        entra = uuid.uuid5(_FILLED, f"{label}/{one}")
        domain = f"sample-{entra.hex[:12]}.onmicrosoft.com"
        tenant = {"entra_tenant_id": str(entra), "name": f"{label}.{one}", "domain": domain}
        path = f"/v1/customers/{customer['id']}/tenants"
        gateway.call("POST", path, tenant, key=str(entra))
