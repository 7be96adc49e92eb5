"""HTTP: one way to refuse, to identify, to make a change conditional and repeatable, to list, to run."""

from purser_common.web.app import build
from purser_common.web.calls import Peer, Signed, segment
from purser_common.web.pages import Page, cursor, keyset, newest, position
from purser_common.web.process import Process
from purser_common.web.requests import (
    CallerOf,
    CauseOf,
    RequestOf,
    answer,
    confirmed,
    etag_of,
    if_match,
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
    "confirmed",
    "cursor",
    "etag_of",
    "if_match",
    "keyset",
    "newest",
    "position",
    "segment",
]
