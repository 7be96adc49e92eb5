"""The crash points of the code: what is on disk there, what recovers, and what anybody sees of it.

`make crash` reaches every one in every way and judges by this table; the reference is written from it.
"""

from dataclasses import dataclass

HOWS = {
    "kill": "the process ends with SIGKILL and is started again",
    "stop": "the process is frozen with SIGSTOP and goes on after 3 s",
    "raise": "the code fails with an exception that nobody expects",
}
SENDING = ("order.send.", "order.recover.", "reseller.")
"""Where an order may be bought twice or lost: `make check` kills each of these once."""

TABLE = """
order.request.accepted | order: purchase | completed
    a request was checked, nothing is written | nothing | none
    the caller repeats its call under the same key
order.request.written | order: purchase | completed
    the request is written, its caller has no answer | request, fact | none
    the same key gives the same request; the jobs go on without the caller
order.send.cleared | order: purchase | completed
    claimed and allowed, SENDING is not written | READY | delay
    the lease ends, any worker claims it
order.send.intent_written | order: purchase | completed
    SENDING is written, nothing has left | SENDING(n) | delay
    closure: the hop never saw the attempt and closes it, so it is sent as n + 1
order.send.left | order: purchase | completed
    the order is on its way to the hop | SENDING(n) | delay
    the hop goes on alone; closure gives what it stored
order.send.answered | order: purchase | completed
    the hop's answer is known, not written | SENDING(n) | delay
    closure gives the same answer again
order.send.recorded | order: purchase | completed
    the answer is written, nobody was nudged | PLACED, fact | delay
    outbox sweep, follower
order.recover.closed | order: abandoned | completed
    the hop has closed an abandoned attempt | SENDING(n), attempt closed | delay
    closure gives the same answer again
order.sweep.listed | order: lost | completed
    the account's orders are listed, none is accounted for | VERIFYING | delay
    the sweep's lease ends, the sweep starts anew
order.sweep.linked | order: lost | completed
    an order is linked, the sweep is not noted | PLACED, evidence, fact | none
    the next sweep sees the link
order.sweep.noted | order: absent | needs_review
    the absence of an order is noted, the sweep is not | VERIFYING or NEEDS_REVIEW | none
    the next sweep looks again
order.review.decided | order: settled | completed
    a person's decision is written, its caller has no answer | READY, fact | none
    the same key gives the same decision; the sender goes on
order.withdrawn | order: removed | completed
    a removed tenant's request is withdrawn, the fact's offset is not committed | WITHDRAWN, fact | none
    redelivery; what is withdrawn does not wait any more
order.follow.read | order: purchase | completed
    the placed order was read, what it says is not written | PLACED | delay
    the lease ends, it is read again
order.follow.completed | order: purchase | completed
    completion and its two facts are written, none is published | COMPLETED, facts | delay
    outbox sweep
reseller.token.taken | reseller: purchase | completed
    the account has a token, the attempt is not noted | nothing | delay
    closure closes the attempt, the order is sent as n + 1 with a token of its own
reseller.send.cleared | reseller: purchase | completed
    sending is allowed, the attempt is not noted | nothing | delay
    closure closes the attempt, the order is sent as n + 1
reseller.send.noted | reseller: purchase | needs_review, stop: completed
    the attempt is noted, nothing has left | attempt without outcome | review item
    nobody can tell it from the next point: VERIFYING, absent, a person decides
reseller.send.leaving | reseller: purchase | needs_review, stop: completed
    the order is about to leave, its Send-By is not over | attempt without outcome | review item
    as before; who is stopped here for longer is ended by the fence before it could send
reseller.send.left | reseller: purchase | completed
    the order has left for the marketplace, no answer yet | attempt without outcome | delay
    VERIFYING, the listing shows the order by its PO
reseller.send.answered | reseller: purchase | completed
    the marketplace has answered, the outcome is not stored | attempt without outcome | delay
    VERIFYING, the listing shows the order by its PO
reseller.send.stored | reseller: purchase | completed
    the outcome is stored, the order service has no answer | attempt with outcome | delay
    closure gives the stored outcome
reseller.closure.inserted | reseller: abandoned | completed
    an attempt that never came is closed, the order service has no answer | attempt closed | delay
    closure is asked again and answers the same
outbox.read | tenant-connection: keyed | completed
    pending facts are read, none is sent | outbox full | delay
    the sweeper, or the next writer
outbox.sent_some | order: purchase | completed
    k of m facts are acknowledged, the rest is not sent | outbox full | duplicates on Kafka
    all are sent again; readers drop what they have by id or sequence
outbox.acknowledged | tenant-connection: keyed | completed
    all facts are acknowledged, none is removed | outbox full | duplicates on Kafka
    all are sent again; readers drop what they have by id or sequence
outbox.removed | tenant-connection: keyed | completed
    what was acknowledged is removed | outbox empty | none
    nothing is left to do
consumer.before_effect | audit: keyed, subscription: mirrored | completed
    a record is read, nothing is done | the old offset | delay
    redelivery
consumer.effect_done | audit: keyed, subscription: mirrored | completed
    a record's effect is written, the offset is not | effect, the old offset | none
    redelivery; the gate drops it
consumer.dead_letter_acknowledged | audit: poison | completed
    an unreadable record is put aside | dead letter, the old offset | second dead letter
    redelivery; the record is put aside again, naming the same offset
subscription.refresh.claimed | subscription: mirrored | completed
    a reading is claimed, nothing is read | the claim | delay
    the lease ends, it is claimed again
subscription.refresh.read | subscription: mirrored | completed
    the marketplace was read, the mirror is not written | the claim | delay
    the lease ends, it is read again
subscription.refresh.mirrored | subscription: mirrored | completed
    the mirror is written, the reading is not done | subscription, fact, the claim | none
    the lease ends; a second reading changes nothing
gateway.key.taken | gateway: keyed | completed
    the Idempotency-Key is noted, the call is not passed on | key under way | 409 until then
    a repeated call is passed on after 30 s (after an exception at once)
gateway.answer.received | gateway: keyed | completed
    the owner has answered, nothing is kept | the owner's write, key under way | 409 until then
    a repeated call is passed on after 30 s; the owner finds its write again
gateway.answer.kept | gateway: keyed | completed
    the answer is kept, no action is | the owner's write, the answer | unrecorded unless repeated
    a repeated call gets the kept answer, and is recorded
gateway.action.recorded | gateway: keyed | completed
    the action is recorded, the caller has no answer | all | each call has a record of its own
    a repeated call gets the kept answer
connection.pending_written | tenant-connection: connected | completed
    the reference is pending, the reseller service was not asked | pending reference | delay
    a job asks and confirms; so does a repeated call
connection.reseller_asked | tenant-connection: connected | completed
    the reseller service has agreed, nothing is confirmed | pending reference | delay
    a job asks again and confirms; so does a repeated call
connection.confirmed | tenant-connection: connected | completed
    the connection is written, its caller has no answer | connection, fact | none
    a repeated call finds it connected
connection.withdrawn | tenant-connection: unconnected | refused
    a refused reference is withdrawn, its caller has no answer | no reference | none
    a repeated call is refused again
connection.change_written | tenant-connection: reconnected | completed
    a change is closing with its new reference, nobody was asked | closing, pending reference | delay
    a job asks both and confirms; so does a repeated call
closing.written | tenant-connection: disconnected | completed
    the connection is closing, the order service was not asked | closing | nothing is bought until then
    a job asks and finishes or reopens; so does a repeated call
closing.order_asked | tenant-connection: disconnected | completed
    nothing is open, nothing is finished | closing | nothing is bought until then
    a job asks again and finishes or reopens; so does a repeated call
closing.finished | tenant-connection: removed | completed
    the removal is written, its caller has no answer | removed, facts | none
    a repeated call finds it removed
closing.reopened | tenant-connection: held | refused
    what an open purchase holds is reopened, its caller has no answer | the connection | none
    a repeated call is refused again
reseller.closing.written | reseller: deleted | deleted
    a reseller refuses references, nobody was asked who refers to it | closing reseller | delay
    a job asks and deletes or reopens it
reseller.closing.finished | reseller: deleted | deleted
    the reseller is deleted, its caller has no answer | tombstone, fact | none
    a repeated call finds no reseller
"""
"""Three lines for each point: name, where which flow reaches it, how the flow ends (and where it ends
otherwise); what has happened, what is on disk, what is visible; what recovers."""


@dataclass(frozen=True)
class CrashPoint:
    """One named place, with the flows of `tests/crash` that lead there, by program."""

    name: str
    reached: dict[str, str]
    ends: dict[str, str]
    place: str
    persisted: str
    visible: str
    recovers: str

    @property
    def sends(self) -> bool:
        """Whether an order is on its way here."""
        return self.name.startswith(SENDING)


def _points() -> tuple[CrashPoint, ...]:
    lines = [line.strip() for line in TABLE.strip().splitlines()]
    return tuple(_point(*lines[n : n + 3]) for n in range(0, len(lines), 3))


def _point(first: str, second: str, recovers: str) -> CrashPoint:
    name, reached, ends = first.split(" | ")
    usual, *others = ends.split(", ")
    place, persisted, visible = second.split(" | ")
    return CrashPoint(
        name,
        dict(pair.split(": ") for pair in reached.split(", ")),
        dict.fromkeys(HOWS, usual) | dict(pair.split(": ") for pair in others),
        place,
        persisted,
        visible,
        recovers,
    )


POINTS = _points()
