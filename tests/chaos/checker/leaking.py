"""I15: no canary secret anywhere, whole or in part, in any of the ways in which text is written."""

import base64
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

from .evidence import BadEvidence, Evidence
from .report import Verdict

PREFIX = 8
"""Characters of a secret that betray it: every search is for its beginning, which finds the whole too."""
SHORTEST = 12
_BASE64 = re.compile(rb'"base64": ?"([A-Za-z0-9+/=]*)"')


def spellings(secret: str) -> Iterator[tuple[str, bytes]]:
    """(how, what to look for) of the beginning of a secret."""
    start = secret[:PREFIX]
    raw = start.encode()
    yield "raw", raw
    for how, text in (("hex", raw.hex()), ("HEX", raw.hex().upper())):
        yield how, text.encode()
    for how, text in (("URL", quote(start, safe="")), ("form", quote_plus(start))):
        yield how, text.encode()
        yield how, re.sub("%..", lambda code: code[0].lower(), text).encode()
    for ascii_only in (True, False):
        escaped = json.dumps(start, ensure_ascii=ascii_only)[1:-1]
        yield "JSON", escaped.encode()
        yield "JSON in JSON", json.dumps(escaped)[1:-1].encode()
    yield from _base64(raw)


def _base64(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """What stays the same wherever the secret stands in the encoded text."""
    for before in range(3):
        text = base64.b64encode(b"\0" * before + raw)
        skipped = (0, 2, 3)[before]
        whole = (before + len(raw)) * 8 // 6
        kept = text[skipped:whole]
        yield "base64", kept
        yield "base64url", kept.replace(b"+", b"-").replace(b"/", b"_")


class Needles:
    """Finds any of many texts in one pass: by their first characters, then by the rest."""

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        self._starts: dict[bytes, set[tuple[bytes, str, str]]] = defaultdict(set)
        for name, secret in secrets:
            for how, text in spellings(secret):
                self._starts[text[:PREFIX]].add((text, name, how))

    def found(self, data: bytes) -> set[tuple[str, str]]:
        """(secret, how it is spelt) of everything inside."""
        starts = self._starts
        found = set()
        for position in range(len(data) - PREFIX + 1):
            if (start := data[position : position + PREFIX]) in starts:
                for text, name, how in starts[start]:
                    if data.startswith(text, position):
                        found.add((name, how))
        return found


def sealed(evidence: Evidence) -> Verdict:
    """I15: logs, the Kafka log, the databases and every HTTP answer. `run.json` alone names them."""
    verdict = Verdict(absent="run.json names no canaries")
    secrets = [(str(one["name"]), str(one["value"])) for one in evidence.told("canaries")]
    for name, value in secrets:
        if len(value) < SHORTEST:
            raise BadEvidence(f"run.json: the canary {name} has less than {SHORTEST} characters")
    if not secrets:
        return verdict
    needles = Needles(secrets)
    for path, answers_only in _searched(evidence.directory):
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            if answers_only and json.loads(line).get("type") == "invoke":
                continue
            verdict.judged += 1
            where = f"{path.relative_to(evidence.directory)}:{number}"
            for name, how in sorted(_in(needles, line)):
                said = f"the first {PREFIX} characters of it are written here ({how})"
                verdict.against("I15", [f"secret {name}"], said, [where])
    verdict.count("canary secrets", len(secrets))
    return verdict


def _in(needles: Needles, line: bytes) -> set[tuple[str, str]]:
    """In the line as it is, and in the bytes that it holds encoded."""
    found = needles.found(line)
    for inner in _BASE64.findall(line):
        found |= {(name, f"{how}, as bytes") for name, how in needles.found(_bytes(inner))}
    return found


def _bytes(text: bytes) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""


def _searched(directory: Path) -> Iterator[tuple[Path, bool]]:
    """(file, whether only its answers count): what a caller sent is no leak, what it got back is."""
    for folder in ("logs", "mongo"):
        for path in sorted((directory / folder).rglob("*")):
            if path.is_file():
                yield path, False
    for name in ("kafka.jsonl", "http.jsonl", "journal.jsonl"):
        yield directory / name, False
    yield directory / "history.jsonl", True
