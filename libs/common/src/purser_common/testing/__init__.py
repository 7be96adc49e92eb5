"""What tests stand on: waiting with a deadline, real servers wherever they come from, and peers."""

from purser_common.testing.choosing import choose
from purser_common.testing.peers import Keys, Sandbox, Service, sandbox
from purser_common.testing.reading import begin_at_end, create_topics, records
from purser_common.testing.running import Launcher, free_port
from purser_common.testing.servers import Servers, opened
from purser_common.testing.serving import answers, environment, running, serving, started
from purser_common.testing.waiting import eventually

__all__ = [
    "Keys",
    "Launcher",
    "Sandbox",
    "Servers",
    "Service",
    "answers",
    "begin_at_end",
    "choose",
    "create_topics",
    "environment",
    "eventually",
    "free_port",
    "opened",
    "records",
    "running",
    "sandbox",
    "serving",
    "started",
]
