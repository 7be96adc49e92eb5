"""The owners behind the public API: which route is whose, and how a call is passed on."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway_service.store import Answer
from purser_common.identity import Caller
from purser_common.telemetry import Cause
from purser_common.web import Peer, segment
from purser_common.web.requests import DIGEST

_DOWN = ("idempotency-key", "if-match", "content-type", "accept")
_UP = (
    "etag",
    "location",
    "retry-after",
    "content-type",
    "purser-subject",
    "purser-read-at",
    "purser-stale",
    "purser-next",
    "content-disposition",
    "cache-control",
    "content-security-policy",
    "referrer-policy",
)


@dataclass(frozen=True)
class Route:
    """One public route that an owner serves under the same path."""

    method: str
    path: str
    owner: str
    operation: str

    def at(self, ids: Mapping[str, str]) -> str:
        """The path for these ids, each of which stays one segment, whatever is in it."""
        return self.path.format(**{name: segment(id) for name, id in ids.items()})


def _routes(owner: str, table: str) -> list[Route]:
    rows = (line.split() for line in table.strip().splitlines())
    return [Route(method, path, owner, operation) for method, path, operation in rows]


ROUTES: tuple[Route, ...] = (
    *_routes(
        "reseller",
        """
        GET    /v1/marketplaces                                     list_marketplaces
        GET    /v1/marketplaces/{marketplace}                       view_marketplace
        GET    /v1/marketplaces/{marketplace}/regions               list_regions
        POST   /v1/reseller-verifications                           verify_credentials
        POST   /v1/resellers                                        add_reseller
        GET    /v1/resellers/{id}                                   view_reseller
        PATCH  /v1/resellers/{id}                                   change_reseller
        DELETE /v1/resellers/{id}                                   delete_reseller
        GET    /v1/resellers/{id}/customers                         browse_customers
        GET    /v1/resellers/{id}/products                          browse_products
        GET    /v1/resellers/{id}/products/{product_id}             view_product
        GET    /v1/resellers/{id}/catalogue-sync                    view_catalogue_sync
        POST   /v1/resellers/{id}/price-plans                       add_price_plan
        GET    /v1/resellers/{id}/price-plans                       list_price_plans
        POST   /v1/resellers/{id}/price-plans/uniform-price         set_uniform_price
        GET    /v1/resellers/{id}/price-plans/{plan_id}             view_price_plan
        PATCH  /v1/resellers/{id}/price-plans/{plan_id}             change_price_plan
        DELETE /v1/resellers/{id}/price-plans/{plan_id}             delete_price_plan
        GET    /v1/resellers/{id}/price-plans/{plan_id}/history     list_price_history
        GET    /v1/resellers/{id}/license-mappings                  list_license_mappings
        POST   /v1/resellers/{id}/license-mappings                  map_license
        GET    /v1/resellers/{id}/license-mappings/{mapping_id}     view_license_mapping
        PATCH  /v1/resellers/{id}/license-mappings/{mapping_id}     remap_license
        DELETE /v1/resellers/{id}/license-mappings/{mapping_id}     unmap_license
        GET    /v1/resellers/{id}/licenses                          list_licenses
        GET    /v1/resellers/{id}/licenses/{sku_id}                 view_license
        POST   /v1/buying-stops                                     stop_buying
        GET    /v1/buying-stops                                     list_buying_stops
        GET    /v1/buying-stops/{id}                                view_buying_stop
        DELETE /v1/buying-stops/{id}                                resume_buying
        """,
    ),
    *_routes(
        "tenant-connection",
        """
        POST   /v1/customers                                        add_customer
        GET    /v1/customers/{id}                                   get_customer
        PATCH  /v1/customers/{id}                                   change_customer
        DELETE /v1/customers/{id}                                   remove_customer
        POST   /v1/customers/{id}/tenants                           register_tenant
        GET    /v1/customers/{id}/tenants                           list_customer_tenants
        GET    /v1/tenants/{id}                                     get_tenant
        GET    /v1/marketplaces/{marketplace}/permissions           list_permissions
        POST   /v1/tenants/{id}/consent-requests                    request_consent
        GET    /v1/consent-requests/{id}                            get_consent_request
        POST   /v1/consent-requests/{id}/completion                 complete_consent
        PUT    /v1/marketplaces/{marketplace}/tenants/{id}          add_tenant
        PUT    /v1/tenants/{id}/connection                          connect_tenant
        PATCH  /v1/tenants/{id}/connection                          change_connection
        DELETE /v1/tenants/{id}/connection                          disconnect_tenant
        POST   /v1/tenants/{id}/removals                            remove_tenant
        POST   /v1/customer-imports                                 import_customers
        POST   /v1/connection-proposals                             propose_connections
        POST   /v1/tenant-connections                               connect_tenants
        """,
    ),
    *_routes(
        "subscription",
        """
        GET    /v1/subscriptions/{id}                               get_subscription
        GET    /v1/subscriptions/{id}/history                       list_subscription_days
        GET    /v1/unmapped-subscriptions                           list_unmapped_subscriptions
        """,
    ),
    *_routes(
        "order",
        """
        POST   /v1/purchase-previews                                preview_purchase
        POST   /v1/license-change-requests                          request_license_change
        GET    /v1/license-change-requests/{id}                     get_license_change_request
        GET    /v1/review-items                                     list_review_items
        POST   /v1/review-items/{id}/settlements                    settle_review
        POST   /v1/review-items/{id}/settlement-previews            preview_settlement
        GET    /v1/tenants/{id}/orders                              list_observed_orders
        GET    /v1/tenants/{id}/store-items                         list_store_items
        GET    /v1/tenants/{id}/store-items/{item_id}               get_store_item
        POST   /v1/tenants/{id}/store-items/{item_id}/previews      preview_store_item
        GET    /v1/spend-caps/{reseller_id}                         get_spend_cap
        PUT    /v1/spend-caps/{reseller_id}                         set_spend_cap
        """,
    ),
    *_routes(
        "audit",
        """
        GET    /v1/audit-records                                    list_audit_records
        GET    /v1/exports/audit-records                            export_audit_records
        """,
    ),
)

MODELLED = {
    "view_reseller": "reseller",
    "get_customer": "customer",
    "get_tenant": "tenant",
    "get_subscription": "subscription",
    "get_license_change_request": "license-change-request",
}
"""Operation → the aggregate of the read model that is shown when the owner does not answer in time."""
IN_TIME = 2.0
"""Seconds that the owner of a page has, where the model can stand in."""

CALLBACK = "/v1/consent/callback"


class Owners:
    """Passes calls on."""

    def __init__(self, peers: Mapping[str, Peer]) -> None:
        self._peers = peers

    async def forward(
        self,
        route: Route,
        path: str,
        query: str,
        headers: Mapping[str, str],
        body: bytes,
        caller: Caller | None,
        cause: Cause | None,
        digest: str | None = None,
        within: float = 30.0,
    ) -> Answer:
        """The owner's answer, whatever it is. Raises Unavailable without one in that many seconds.

        `digest` is the gateway's own, of a keyed call.
        """
        target = path + (f"?{query}" if query else "")
        sent = {name: headers[name] for name in _DOWN if name in headers}
        if digest is not None:
            sent[DIGEST] = digest
        answer = await self._peers[route.owner].request(
            route.method,
            target,
            caller=caller,
            cause=cause,
            headers=sent,
            timeout=within,
            content=body,
        )
        kept = {name: answer.headers[name] for name in _UP if name in answer.headers}
        return Answer(answer.status_code, kept, answer.content)
