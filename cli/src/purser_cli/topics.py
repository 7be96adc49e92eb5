"""`purser topics`: what is published where, and its provisioning."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from purser_common import settings
from purser_events.topics import TOPICS

app = typer.Typer(no_args_is_help=True, help="Topics: list them, or create those that are missing.")


@app.command("list")
def listed() -> None:
    """Every topic with its owner and what its fact means."""
    table = Table("topic", "owner", "fact")
    for topic in TOPICS:
        table.add_row(
            topic.name, ", ".join(topic.owners), (topic.fact.__doc__ or "").splitlines()[0]
        )
    Console().print(table)


@app.command()
def provision(
    bootstrap_servers: Annotated[
        str, typer.Option(envvar="KAFKA__BOOTSTRAP_SERVERS")
    ] = "127.0.0.1:19092",
    partitions: Annotated[int, typer.Option(envvar="KAFKA__PARTITIONS")] = 12,
    replication: Annotated[int, typer.Option(envvar="KAFKA__REPLICATION")] = 3,
) -> None:
    """Create the topics and dead-letter topics that are missing; what exists stays as it is."""
    # here, because loading Kafka's client takes as long as starting any other command
    from purser_common import kafka

    config = settings.Kafka(
        bootstrap_servers=bootstrap_servers, partitions=partitions, replication=replication
    )
    created = asyncio.run(kafka.provision(config))
    typer.echo(f"{len(created)} topics created")
