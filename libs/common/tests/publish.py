"""A publisher of one document's facts that stays where it is after some acknowledgements, to be killed."""

import asyncio
import sys
from collections.abc import Sequence

from purser_common import kafka, mongo, settings
from purser_common.outbox import Publisher


class Halting:
    """Sends for real; after that many acknowledgements it says so and never returns."""

    def __init__(self, producer: kafka.Producer, acknowledged: int) -> None:
        self._producer = producer
        self._left = acknowledged

    async def send(
        self, topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        await self._producer.send(topic, key, value, headers)
        self._left -= 1
        if not self._left:
            sys.stdout.write("acknowledged\n")
            sys.stdout.flush()
            await asyncio.Event().wait()


async def main(bootstrap_servers: str, url: str, database: str, id: str, acknowledged: int) -> None:
    """Publish, and halt."""
    client = mongo.connect(settings.Mongo(url=url, database=database))
    producer = kafka.Producer(settings.Kafka(bootstrap_servers=bootstrap_servers))
    publisher = Publisher(Halting(producer, acknowledged))
    await publisher.publish(client[database]["customers"], id)


if __name__ == "__main__":
    servers, address, name, document, number = sys.argv[1:]
    asyncio.run(main(servers, address, name, document, int(number)))
