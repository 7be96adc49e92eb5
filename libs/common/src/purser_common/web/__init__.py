"""HTTP: one way to refuse, to identify, to make a change conditional and repeatable, to list, to run."""

from purser_common.web.app import build
from purser_common.web.calls import Peer, Signed, segment
from purser_common.web.process import Process
from purser_common.web.requests import (
    CallerOf,
    CauseOf,
    Page,
    RequestOf,
    answer,
    cursor,
    etag_of,
    if_match,
    position,
)

__all__ = [
    "CallerOf",
    "CauseOf",
    "Page",
    "Peer",
    "Process",
    "RequestOf",
    "Signed",
    "answer",
    "build",
    "cursor",
    "etag_of",
    "if_match",
    "position",
    "segment",
]
