"""Kafka in and out: one acknowledged send, and consumers that neither lose a record nor stop at one.

Every default of FastStream and aiokafka that loses messages is set here (reliability §f); a subscriber
that was declared otherwise is refused at start.
"""

from aiokafka.errors import KafkaError

from purser_common.kafka import connections
from purser_common.kafka.consuming import (
    Handler,
    Poison,
    Reader,
    broker,
    passes,
    refuse_unsafe,
    start,
    subscribe,
)
from purser_common.kafka.producing import Producer, provision, reachable

__all__ = [
    "Handler",
    "KafkaError",
    "Poison",
    "Producer",
    "Reader",
    "broker",
    "passes",
    "provision",
    "reachable",
    "refuse_unsafe",
    "start",
    "subscribe",
]

connections.mend()
