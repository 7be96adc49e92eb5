"""What the service keeps: one module for each kind of document."""

from reseller_service.store import buying, catalogue, health, mapping, prices, resellers
from reseller_service.store.accounts import Accounts
from reseller_service.store.buying import Stops
from reseller_service.store.catalogue import Catalogue, Syncs
from reseller_service.store.health import Health
from reseller_service.store.licenses import published_licenses
from reseller_service.store.mapping import Mappings
from reseller_service.store.prices import Plans
from reseller_service.store.resellers import Resellers, Vault, Verifications, prove_keys
from reseller_service.store.sending import Egress

__all__ = [
    "INDEXES",
    "OUTBOXES",
    "Accounts",
    "Catalogue",
    "Egress",
    "Health",
    "Mappings",
    "Plans",
    "Resellers",
    "Stops",
    "Syncs",
    "Vault",
    "Verifications",
    "prove_keys",
    "published_licenses",
]

INDEXES = (
    *resellers.INDEXES,
    *mapping.INDEXES,
    *catalogue.INDEXES,
    *prices.INDEXES,
    *buying.INDEXES,
    *health.INDEXES,
)
OUTBOXES = (resellers.RESELLERS, mapping.MAPPINGS, prices.PLANS, buying.STOPS, health.HEALTH)
