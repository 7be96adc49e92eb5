"""The twelve bugs (reliability, end of §d), each as a patch of the product's own modules.

Where today's product lacks the place that a bug is named after, the nearest real one is patched, and
the bug's docstring says which. Product code is imported where a bug is planted: a program has its own
modules only.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.planted.patches import Patches


@dataclass(frozen=True)
class Bug:
    """One bug: into which programs it is planted, which course of faults shows it, and as what.

    It is caught when the checker tells a violation of one of the `invariants`.
    """

    programs: tuple[str, ...]
    course: str
    invariants: frozenset[str]
    plant: Callable[[Patches], None]

    @property
    def meaning(self) -> str:
        """What the bug does."""
        return " ".join((self.plant.__doc__ or "").split())


BUGS: dict[str, Bug] = {}
"""Every bug by its name."""


def _bug(
    name: str, programs: str, course: str, invariants: str
) -> Callable[[Callable[[Patches], None]], Callable[[Patches], None]]:
    def registered(plant: Callable[[Patches], None]) -> Callable[[Patches], None]:
        found = frozenset(invariants.split())
        BUGS[name] = Bug(tuple(programs.split()), course, found, plant)
        return plant

    return registered


# -- the purchase protocol -----------------------------------------------------------------------------


@_bug("resend-on-timeout", "order", "lost-answers", "I1")
def resend_on_timeout(patches: Patches) -> None:
    """An attempt of unknown outcome counts as not sent, so it is sent again."""
    from order_service.domain import purchase as rules

    original = rules.answered

    def answered(purchase: Any, answer: Any, now: Any, retry: Any) -> Any:
        if isinstance(answer, rules.Unknown):
            answer = rules.NotSent(answer.reason)
        return original(purchase, answer, now, retry)

    patches.replace(rules, "answered", answered)


@_bug("5xx-is-refused", "order reseller", "lost-answers", "I1 I2")
def server_error_is_refused(patches: Patches) -> None:
    """An answer of 500 or more counts as a refusal that may pass, so the order is sent again."""
    from purser_marketplace import placing
    from purser_marketplace.answers import message_of

    original = placing.classify

    def classify(status: int, body: bytes) -> Any:
        if status >= 500:
            return placing.DefinitelyRefused(True, status, message_of(body))
        return original(status, body)

    patches.replace(placing, "classify", classify)


@_bug("drop-late-answer", "order", "late-orders", "I2")
def drop_late_answer(patches: Patches) -> None:
    """What shows an order after its request has ended is dropped.

    A late answer of an older attempt is kept by the hop, and every listing tells it again; what can
    still come too late is the order of a request that was given up.
    """
    from order_service.domain import purchase as rules

    original = rules.taken

    def taken(purchase: Any, order: Any, source: Any, now: Any, by: Any) -> Any:
        if purchase.phase in (rules.FAILED, rules.CANCELLED):
            return purchase, ()
        return original(purchase, order, source, now, by)

    patches.replace(rules, "taken", taken)


@_bug("fence-off", "reseller", "paused-sender", "I1")
def fence_off(patches: Patches) -> None:
    """The hop says that its pause fence is up, but no timer would end a process that was stopped."""
    from purser_common import jobs

    async def fence_pauses(seconds: float = 10.0) -> None:
        await asyncio.Event().wait()

    patches.replace(jobs, "fence_pauses", fence_pauses)


@_bug("po-per-attempt", "order", "lost-answers", "I1 I2")
def po_per_attempt(patches: Patches) -> None:
    """Each attempt has a purchase order number of its own, so nobody finds the order of an earlier one."""
    from order_service.commands import sending

    original = sending.order_of

    def order_of(purchase: Any) -> Any:
        order = original(purchase)
        return {**order, "poNumber": f"{order['poNumber']}-{purchase.attempt.n}"}

    patches.replace(sending, "order_of", order_of)


@_bug("client-retry-on", "reseller", "lost-answers", "I1")
def client_retry_on(patches: Patches) -> None:
    """The client that sends orders repeats a POST that got no answer."""
    from purser_marketplace import placing

    original = placing.send_order_once

    async def send_order_once(
        url: str,
        headers: Any,
        body: bytes,
        *,
        answer_within: float = 180.0,
        tls: Any = None,
        on_sent: Any = None,
    ) -> Any:
        for _ in range(2):
            sent = await original(
                url, headers, body, answer_within=answer_within, tls=tls, on_sent=on_sent
            )
            if sent.outcome == "yes":
                break
        return sent

    patches.replace(placing, "send_order_once", send_order_once)


@_bug("ignores-unknown-purchases", "order", "lost-answers", "I11")
def ignores_unknown_purchases(patches: Patches) -> None:
    """A purchase whose outcome is unknown leaves room for another one of the same product.

    There are no policies yet: what they would have to count, a request's slot holds against everybody.
    """
    from order_service.domain import purchase as rules

    known = rules.HOLDS_SLOT - {rules.VERIFYING, rules.NEEDS_REVIEW}
    patches.replace(rules, "HOLDS_SLOT", known)


# -- facts out -----------------------------------------------------------------------------------------


@_bug("clear-outbox-early", "order", "troubled-kafka", "I6")
def clear_outbox_early(patches: Patches) -> None:
    """Facts are removed from the outbox before Kafka has acknowledged them."""
    from purser_common.outbox import Publisher

    async def publish(self: Any, collection: Any, id: str) -> int:
        entries = await _pending(collection, id)
        if entries:
            await self._remove(collection, id, entries[-1]["seq"])
        for entry in entries:
            await self._send(entry)
        return len(entries)

    patches.replace(Publisher, "publish", publish)


@_bug("clear-all", "order", "troubled-kafka", "I6")
def clear_all(patches: Patches) -> None:
    """Once facts are acknowledged the whole outbox is cleared, with what was added meanwhile."""
    from purser_common.outbox import Publisher

    async def _remove(self: Any, collection: Any, id: str, acked: int) -> None:
        cleared = {"$set": {"outbox": []}, "$unset": {"outbox_since": ""}}
        await collection.update_one({"_id": id}, cleared)

    patches.replace(Publisher, "_remove", _remove)


@_bug("pipelined-relay", "order", "troubled-kafka", "I6")
def pipelined_relay(patches: Patches) -> None:
    """The facts of a document are sent at once, and all up to the highest acknowledged one removed."""
    from purser_common.outbox import Publisher

    async def publish(self: Any, collection: Any, id: str) -> int:
        entries = await _pending(collection, id)
        sends = (self._send(entry) for entry in entries)
        errors = await asyncio.gather(*sends, return_exceptions=True)
        acked = [e["seq"] for e, error in zip(entries, errors, strict=True) if error is None]
        if acked:
            await self._remove(collection, id, max(acked))
        for error in errors:
            if error is not None:
                raise error
        return len(entries)

    patches.replace(Publisher, "publish", publish)


async def _pending(collection: Any, id: str) -> list[Any]:
    document = await collection.find_one({"_id": id}, {"outbox": 1})
    return list(document["outbox"]) if document else []


# -- facts in ------------------------------------------------------------------------------------------


@_bug("ack-first", "audit", "troubled-kafka", "I7")
def ack_first(patches: Patches) -> None:
    """Offsets are committed when records are read, not when they are handled; the guard is off."""
    from faststream import AckPolicy

    from purser_common import kafka
    from purser_common.kafka import consuming

    class AckFirst:
        NACK_ON_ERROR = AckPolicy.ACK_FIRST

    def refuse_unsafe(subscribers: Any) -> None:
        return None

    patches.replace(consuming, "AckPolicy", AckFirst)
    patches.replace(kafka, "refuse_unsafe", refuse_unsafe)


@_bug("inbox-before-effect", "audit", "troubled-kafka", "I7")
def inbox_before_effect(patches: Patches) -> None:
    """A reader notes the ids of events before it handles them, and skips what it has noted."""
    from purser_common.mongo import DuplicateKeyError
    from purser_common.web import Process

    original = Process.subscribe

    def subscribe(self: Any, purpose: str, handle: Any, **options: Any) -> None:
        original(self, purpose, handle, **options)
        inbox, reader = self.database["planted_inbox"], self._readers[f"{self.name}.{purpose}"]
        effect = reader._effect

        async def once(envelopes: Sequence[Any]) -> None:
            fresh = []
            for envelope in envelopes:
                try:
                    await inbox.insert_one({"_id": f"{purpose}/{envelope.id}"})
                except DuplicateKeyError:
                    continue
                fresh.append(envelope)
            if fresh:
                await effect(fresh)

        reader._effect = once

    patches.replace(Process, "subscribe", subscribe)
