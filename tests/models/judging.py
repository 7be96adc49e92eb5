"""What is judged of a world: links that are true, orders that are accounted for, nothing that is stuck."""

from order_service.domain import purchase as rules

from .deciding import Book
from .world import Variant, World


class Judge:
    """Looks at worlds of one variant."""

    def __init__(self, book: Book, variant: Variant) -> None:
        self.book = book
        self.variant = variant

    def phase(self, w: World) -> str:
        """The purchase's phase."""
        return self.book[w.purchase].phase

    def seen(self, w: World) -> list[str]:
        """The orders of which the purchase has evidence."""
        return [evidence.order_id for evidence in self.book[w.purchase].evidence]

    def false_link(self, w: World) -> bool:
        """The purchase is placed, or linked to an order, and there is none such."""
        real = {*w.orders, *w.shown}
        held = self.phase(w) in (rules.PLACED, rules.COMPLETED)
        return not real.issuperset(self.seen(w)) or (held and not real)

    def accounted_for(self, w: World) -> bool:
        """Every order is linked, and where there are two, somebody is told."""
        seen = self.seen(w)
        told = self.phase(w) == rules.DUPLICATE_SUSPECTED
        return {*w.orders, *w.shown} <= set(seen) and (len(seen) < 2 or told)

    def settled(self, w: World) -> bool:
        """It is nobody's turn any more, or a person's."""
        phase = self.phase(w)
        if phase == rules.READY:
            return len(w.ages) == self.variant.attempts
        following = (rules.PLACED,) if self.variant.by_hand else ()
        return phase not in (rules.SENDING, rules.VERIFYING, *following)

    def worth_looking(self, w: World) -> bool:
        """Whether a listing can change anything; one that cannot is as good as none."""
        if self.phase(w) in (rules.VERIFYING, rules.NEEDS_REVIEW):
            return True
        return not self.accounted_for(w)
