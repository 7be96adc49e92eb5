"""Requests, the mirror of foreign orders, and the accounts: what the order service keeps."""

from order_service.store import accounts, connections, orders, requests, spending, subscriptions
from order_service.store.accounts import Accounts
from order_service.store.connections import Connections
from order_service.store.orders import ORDERS, Orders
from order_service.store.requests import REQUESTS, Requests
from order_service.store.spending import CAPS, Spending
from order_service.store.subscriptions import SubscriptionCopies

__all__ = [
    "CAPS",
    "INDEXES",
    "ORDERS",
    "OUTBOXES",
    "REQUESTS",
    "Accounts",
    "Connections",
    "Orders",
    "Requests",
    "Spending",
    "SubscriptionCopies",
]

INDEXES = (
    *requests.INDEXES,
    *orders.INDEXES,
    *accounts.INDEXES,
    *connections.INDEXES,
    *spending.INDEXES,
    *subscriptions.INDEXES,
)
OUTBOXES = (REQUESTS, ORDERS, CAPS)
