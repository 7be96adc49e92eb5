"""What time does to orders and subscriptions. Everything is derived from stored times when
somebody reads, so a restart or a moved clock changes no outcome."""

from __future__ import annotations

import heapq
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from purser_sandbox.world.records import Order, OrderLine, Period, Subscription, SubscriptionLine

if TYPE_CHECKING:
    from purser_sandbox.world.state import World

REMOVED_AFTER = timedelta(days=30)
PREFIXES = {"sales": "SO", "change": "CH", "renewal": "RN", "cancellation": "CX"}


def add_months(day: date, months: int) -> date:
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    following = date(year + month // 12, month % 12 + 1, 1)
    return date(year, month, min(day.day, (following - timedelta(days=1)).day))


def term_end(start: date, term: Period) -> date:
    if term.months:
        return add_months(start, term.months)
    return start + timedelta(days=term.duration)


class Lifecycle:
    """Order progress, renewals and term ends of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._due: list[tuple[datetime, str, str]] = []
        self._numbers = 0

    def next_number(self, order_type: str) -> str:
        self._numbers += 1
        return f"{PREFIXES[order_type]}{self._numbers:06d}"

    def watch_order(self, order: Order) -> None:
        self._numbers = max(self._numbers, int(order.number[2:]))
        moment = self._next_step(order)
        if moment is not None:
            heapq.heappush(self._due, (moment, "order", order.id))

    def watch_subscription(self, subscription: Subscription) -> None:
        moment = self._next_end(subscription)
        if moment is not None:
            heapq.heappush(self._due, (moment, "subscription", subscription.id))

    def settle(self, now: datetime) -> None:
        while self._due and self._due[0][0] <= now:
            moment, kind, key = heapq.heappop(self._due)
            if kind == "order":
                order = self._world.orders.get(key)
                if order is not None and self._next_step(order) == moment:
                    self._step(order, moment)
            else:
                subscription = self._world.subscriptions.get(key)
                if subscription is not None and self._next_end(subscription) == moment:
                    self._end_term(subscription, moment)

    def adopt(self, order: Order) -> None:
        """Takes in an executed order. An immediate change drops a scheduled one of the same
        subscription, as Microsoft does."""
        if order.type == "change" and not order.scheduled_on:
            self._drop_scheduled(order)
        self._world.save(order)

    def _drop_scheduled(self, order: Order) -> None:
        for other in self._world.customer_orders(order.customer_id):
            same = other.subscription_id == order.subscription_id
            if same and other.scheduled_on and other.unfinished:
                other.status, other.status_code = "cancelled", "CL"
                self._world.save(other)

    def _next_step(self, order: Order) -> datetime | None:
        timing, fate = order.timing, order.fate
        submitted = timedelta(seconds=timing.submitted_seconds)
        processing = timedelta(seconds=timing.processing_seconds)
        if order.status == "submitted":
            stays = fate.outcome == "stuck" and fate.stuck_in == "submitted"
            return None if stays else order.created_at + submitted
        if order.status != "processing" or order.scheduled_on:
            return None
        if order.status_code == "AS":
            return order.created_at + submitted + processing / 2
        return None if fate.outcome == "stuck" else order.created_at + submitted + processing

    def _step(self, order: Order, moment: datetime) -> None:
        if order.status == "submitted":
            order.status, order.status_code = "processing", "AS"
        elif order.status_code == "AS":
            order.status_code = "LO"
            if order.type == "sales":
                self._create_subscriptions(order, moment)
        elif order.fate.outcome == "error" or not self._eligible(order):
            self._fail(order)
        else:
            self._complete(order, moment)
        self._world.save(order)

    def _eligible(self, order: Order) -> bool:
        """The vendor's rule for add-ons: a base plan must be active at fulfilment."""
        world = self._world
        owned = {
            world.catalogue.products[line.product_id].mpn
            for subscription in world.customer_subscriptions(order.customer_id)
            if subscription.status == "active"
            for line in subscription.lines
        }
        owned |= {world.catalogue.products[line.product_id].mpn for line in order.lines}
        for line in order.lines:
            bases = tuple(world.catalogue.products[line.product_id].needs_base)
            if bases and not any(mpn.startswith(bases) for mpn in owned):
                return False
        return True

    def _fail(self, order: Order) -> None:
        order.status, order.status_code = "error", None
        if order.type != "sales":
            return
        for key in {line.subscription_id for line in order.lines}:
            subscription = self._world.subscriptions.get(key or "")
            if subscription is not None:
                subscription.status = "removed"
                self._world.save(subscription)

    def _create_subscriptions(self, order: Order, moment: datetime) -> None:
        for line in order.lines:
            key = str(line.subscription_id)
            subscription = self._world.subscriptions.get(key)
            if subscription is None:
                subscription = self._new_subscription(order, line, key, moment)
            if subscription.line(line.product_id) is None:
                subscription.lines.append(_subscription_line(line, key))
            self._world.save(subscription)

    def _new_subscription(
        self, order: Order, line: OrderLine, key: str, moment: datetime
    ) -> Subscription:
        world = self._world
        product = world.catalogue.products[line.product_id]
        today = moment.date()
        perpetual = product.price_type == "setup"
        end = term_end(today, product.subscription_period)
        tenant = world.tenants.get(order.tenant_id or "")
        return Subscription(
            id=key,
            customer_id=order.customer_id,
            reseller_id=order.reseller_id,
            name=world.catalogue.plans[product.plan_id].name,
            status="pending",
            plan_id=product.plan_id,
            billing_model=product.billing_model,
            billing_period=product.billing_period,
            subscription_period=product.subscription_period,
            created_at=moment,
            committed_at=moment,
            renewal_date=None if perpetual else end,
            expiration_date=end,
            modified_on=today,
            renewal_status=not perpetual,
            attributes={"PONumber": order.po_number} if order.po_number else {},
            order_parameters=line.parameters
            or ([{"name": "microsoft_domain", "value": tenant.domain}] if tenant else []),
            tenant_id=order.tenant_id,
        )

    def _complete(self, order: Order, moment: datetime) -> None:
        order.status, order.status_code, order.provisioned_at = "completed", "CP", moment
        for key in {line.subscription_id for line in order.lines} | {order.subscription_id}:
            subscription = self._world.subscriptions.get(key or "")
            if subscription is not None:
                self._apply(order, subscription, moment)
                self._world.save(subscription)

    def _apply(self, order: Order, subscription: Subscription, moment: datetime) -> None:
        subscription.modified_on = moment.date()
        if order.type == "cancellation":
            subscription.status, subscription.renewal_status = "terminated", False
            subscription.expiration_date = moment.date()
            return
        if order.type == "renewal":
            self._extend(subscription, moment)
            return
        for line in order.lines:
            if line.subscription_id == subscription.id:
                self._set_quantity(subscription, line, order.fate.quantity)
        if order.type == "sales" and not order.fate.subscription_stays_pending:
            subscription.status = "active"

    def _set_quantity(
        self, subscription: Subscription, line: OrderLine, instead: Decimal | None
    ) -> None:
        existing = subscription.line(line.product_id)
        if existing is None:
            existing = _subscription_line(line, subscription.id)
            subscription.lines.append(existing)
        existing.quantity = int(line.quantity if instead is None else instead)

    def _extend(self, subscription: Subscription, moment: datetime) -> None:
        start = subscription.renewal_date or moment.date()
        end = term_end(start, subscription.subscription_period)
        subscription.renewal_date = subscription.expiration_date = end
        subscription.committed_at = moment

    def _next_end(self, subscription: Subscription) -> datetime | None:
        if subscription.status == "active" and subscription.renewal_date is not None:
            return _midnight(subscription.renewal_date)
        if subscription.status == "active" and subscription.expiration_date is not None:
            return _midnight(subscription.expiration_date)
        if subscription.status == "terminated" and subscription.expiration_date is not None:
            return _midnight(subscription.expiration_date) + REMOVED_AFTER
        return None

    def _end_term(self, subscription: Subscription, moment: datetime) -> None:
        subscription.modified_on = moment.date()
        if subscription.status == "terminated":
            subscription.status = "removed"
        elif not subscription.renewal_status:
            subscription.status = "terminated"
            subscription.expiration_date = moment.date()
        else:
            self._renew(subscription, moment)
        self._world.save(subscription)

    def _renew(self, subscription: Subscription, moment: datetime) -> None:
        """Monthly terms get a new subscription record and the old one is removed; longer terms
        keep theirs. The renewal order inherits the purchase order number."""
        renewed = subscription
        if subscription.subscription_period.months == 1:
            renewed = subscription.model_copy(deep=True)
            renewed.id, renewed.created_at = self._world.next_id(), moment
            subscription.status = "removed"
        self._extend(renewed, moment)
        self._apply_scheduled(subscription.id, renewed, moment)
        self._world.save(renewed)
        order = Order(
            id=self._world.next_id(),
            number=self.next_number("renewal"),
            type="renewal",
            customer_id=renewed.customer_id,
            reseller_id=renewed.reseller_id,
            created_at=moment,
            timing=self._world.timing(self._world.resellers[renewed.reseller_id]),
            po_number=renewed.attributes.get("PONumber"),
            subscription_id=renewed.id,
            status="completed",
            status_code="CP",
            provisioned_at=moment,
        )
        self._world.save(order)

    def _apply_scheduled(self, old_id: str, renewed: Subscription, moment: datetime) -> None:
        for order in list(self._world.customer_orders(renewed.customer_id)):
            if not (order.unfinished and order.scheduled_on and order.subscription_id == old_id):
                continue
            for line in order.lines:
                self._set_quantity(renewed, line, order.fate.quantity)
                line.subscription_id = renewed.id
            order.subscription_id = renewed.id
            order.status, order.status_code, order.provisioned_at = "completed", "CP", moment
            self._world.save(order)


def _subscription_line(line: OrderLine, subscription_id: str) -> SubscriptionLine:
    vendor_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{subscription_id}/{line.product_id}")
    return SubscriptionLine(
        product_id=line.product_id,
        quantity=int(line.quantity),
        vendor_subscription_id=str(vendor_id),
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
