"""What tests begin with; each changes what it is about."""

from datetime import UTC, datetime
from typing import Any

from purser_events.license import LicenseChangeRequest
from purser_events.reseller import Reseller
from purser_events.values import Period, ProductIdentity

NOW = datetime(2026, 2, 3, 12, tzinfo=UTC)
ID = "6f1c7c0e-2d3b-5f4a-9c8d-0123456789ab"
_MONTH = Period(type="month", duration=1)


def license_request(**over: Any) -> LicenseChangeRequest:
    """Five seats of one product for a tenant, under a purchase order number of the request's own."""
    fields: dict[str, Any] = {
        "id": ID,
        "kind": "buy",
        "status": "placing",
        "marketplace": "ingram-micro-xvantage",
        "reseller_id": "r1",
        "customer_id": "c1",
        "tenant_id": "t1",
        "entra_tenant_id": "e1",
        "marketplace_customer_id": "1000003",
        "product": ProductIdentity(
            mpn="M", vendor="V", subscription_period=_MONTH, billing_period=_MONTH
        ),
        "product_name": "Product",
        "quantity": 5,
        "po_number": "PO-1",
        "po_number_sent": "PO-1-AAAA",
        "origin": "person",
        "requested_by": "user:requester",
        "requested_at": NOW,
    }
    return LicenseChangeRequest(**{**fields, **over})


def change_request(**over: Any) -> LicenseChangeRequest:
    """A subscription of five seats shall have twelve."""
    about = {"subscription_id": "s1", "marketplace_subscription_id": "900"}
    total = {"kind": "change_quantity", "quantity": 12, "expected_quantity": 5}
    return license_request(**{**total, **about, **over})


def reseller(**over: Any) -> Reseller:
    """A reseller that may not buy yet."""
    fields: dict[str, Any] = {
        "id": "r",
        "marketplace": "m",
        "display_name": "R",
        "region": "eu",
        "marketplace_reseller_id": "1",
        "marketplace_reseller_name": "One",
        "account_kind": "leaf",
        "buying_enabled": False,
        "credentials_set_at": NOW,
        "added_at": NOW,
    }
    return Reseller(**{**fields, **over})
