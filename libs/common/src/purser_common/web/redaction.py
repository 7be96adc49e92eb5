"""Showing what somebody else wrote, without the secrets that may be in it."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "(hidden)"

_NAMED = (
    r"(?:pass(?:word|wd)|secret|token|credential|authorization|assertion"
    r"|(?:api|subscription|private)[_-]?key)"
)
_NAME = re.compile(_NAMED, re.IGNORECASE)
_TEXT = re.compile(
    r"(?P<scheme>(?:bearer|basic)\s+)[\w.~+/=-]+"
    r"|eyJ[\w-]{6,}\.[\w-]+\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    rf"|(?P<name>{_NAMED}[\w-]*[\"']?\s*[:=]\s*)(?:\"[^\"]*\"?|'[^']*'?|[^\s,;&}}]+)",
    re.IGNORECASE | re.DOTALL,
)


def readable(value: bytes) -> Any:
    """A record's value as JSON, else as text, else in base64, without what looks like a secret."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode(errors="replace")
        hidden = redacted(text)
        return hidden if hidden != text else {"base64": base64.b64encode(value).decode()}
    try:
        return redacted(json.loads(text))
    except (ValueError, RecursionError):
        return redacted(text)


def redacted(value: Any) -> Any:
    """The value without what is named like a secret, or looks like one."""
    if isinstance(value, Mapping):
        return {
            name: HIDDEN if _NAME.search(name) and one not in (None, "") else redacted(one)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(one) for one in value]
    if isinstance(value, str):
        return _TEXT.sub(lambda found: f"{found['scheme'] or found['name'] or ''}{HIDDEN}", value)
    return value
