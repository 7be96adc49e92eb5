"""What tests stand on: waiting with a deadline, and a real Kafka and MongoDB wherever they come from."""

from purser_common.testing.choosing import choose
from purser_common.testing.reading import create_topics, records
from purser_common.testing.running import Launcher, free_port
from purser_common.testing.servers import Servers
from purser_common.testing.waiting import eventually

__all__ = [
    "Launcher",
    "Servers",
    "choose",
    "create_topics",
    "eventually",
    "free_port",
    "records",
]
