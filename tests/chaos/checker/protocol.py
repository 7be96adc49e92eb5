"""The life of a licence change request as its facts may tell it.

Written down from the published protocol (reliability §b.4, design §4 and §5), not taken from the code: a
step that the code allows and this table does not is a defect of one of them.
"""

OPEN = frozenset(
    {"pending_approval", "approved", "placing", "uncertain", "needs_review", "placed", "scheduled"}
)
CLOSED = frozenset(
    {
        "completed",
        "failed",
        "cancelled",
        "duplicate_suspected",
        "rejected",
        "expired",
        "withdrawn",
        "voided",
        "superseded",
    }
)
SETTLED = CLOSED | {"needs_review"}
"""Where a request may rest when nothing is wrong any more (I12)."""
HOLDS_SLOT = frozenset({"placing", "uncertain", "needs_review", "placed"})
"""While a request is here, no other one of its slot may be open (I11)."""
BOUGHT = frozenset({"placed", "completed"})
"""The marketplace has the order."""

STEPS: dict[str, dict[str, frozenset[str]]] = {
    "license.change-requested": {"": frozenset({"placing", "pending_approval"})},
    "license.change-approved": {"pending_approval": frozenset({"approved", "placing"})},
    "license.change-rejected": {"pending_approval": frozenset({"rejected"})},
    "license.change-expired": {"pending_approval": frozenset({"expired"})},
    "license.change-withdrawn": {
        "placing": frozenset({"withdrawn"}),
        "pending_approval": frozenset({"withdrawn"}),
        "approved": frozenset({"withdrawn"}),
    },
    "license.change-voided": {
        "pending_approval": frozenset({"voided"}),
        "approved": frozenset({"voided"}),
    },
    "order.uncertain": {
        "placing": frozenset({"uncertain"}),
        "uncertain": frozenset({"needs_review"}),
    },
    "order.placed": {
        "placing": frozenset({"placed"}),
        "uncertain": frozenset({"placed"}),
        "needs_review": frozenset({"placed"}),
        "placed": frozenset({"placed"}),
        "cancelled": frozenset({"placed"}),
        "withdrawn": frozenset({"placed"}),
    },
    "order.scheduled": {
        "placing": frozenset({"scheduled"}),
        "uncertain": frozenset({"scheduled"}),
        "needs_review": frozenset({"scheduled"}),
    },
    "order.review-settled": {
        "needs_review": frozenset({"placing", "cancelled"}),
        "placed": frozenset({"placed"}),
    },
    "order.failed": {
        "placing": frozenset({"failed"}),
        "placed": frozenset({"failed"}),
        "scheduled": frozenset({"failed"}),
    },
    "order.completed": {
        "placed": frozenset({"completed"}),
        "scheduled": frozenset({"completed"}),
    },
    "license.purchased": {"completed": frozenset({"completed"})},
    "license.quantity-changed": {"completed": frozenset({"completed"})},
    "license.cancelled": {"completed": frozenset({"completed"})},
    "order.duplicate-suspected": {
        before: frozenset({"duplicate_suspected"})
        for before in (
            "placing",
            "uncertain",
            "needs_review",
            "placed",
            "completed",
            "failed",
            "cancelled",
            "withdrawn",
            "duplicate_suspected",
        )
    },
}
"""Fact → status before it (empty: nothing) → statuses that it may carry.

`order.failed` out of `uncertain` or `needs_review` is missing on purpose: what may have been executed is
never declared a failure. So is every step out of `failed` but the flag: a definite refusal is final.
"""

ANSWERS = {"link": "placed", "not_placed": "placing", "give_up": "cancelled"}
"""What a person says of a review item → the status that follows."""


def objection(topic: str, before: str, after: str | None, answer: str | None) -> str | None:
    """Why a fact may not follow a status; None when it may."""
    steps = STEPS.get(topic)
    if steps is None:
        return f"{topic} is no fact of the protocol"
    if after not in steps.get(before, frozenset()):
        return f"{topic} takes it from {before or 'nothing'} to {after}"
    if topic == "order.review-settled" and ANSWERS.get(answer or "") != after:
        return f"the answer {answer} leaves it {after}"
    return None
