"""What the service keeps: one module for each kind of document."""

from reseller_service.store import buying, health, mapping, resellers
from reseller_service.store.accounts import Accounts
from reseller_service.store.buying import Stops
from reseller_service.store.health import Health
from reseller_service.store.mapping import KnownProducts, Mappings
from reseller_service.store.resellers import Resellers, Vault, Verifications, prove_keys
from reseller_service.store.sending import Egress

__all__ = [
    "INDEXES",
    "OUTBOXES",
    "Accounts",
    "Egress",
    "Health",
    "KnownProducts",
    "Mappings",
    "Resellers",
    "Stops",
    "Vault",
    "Verifications",
    "prove_keys",
]

INDEXES = (*resellers.INDEXES, *mapping.INDEXES, *buying.INDEXES, *health.INDEXES)
OUTBOXES = (resellers.RESELLERS, mapping.MAPPINGS, buying.STOPS, health.HEALTH)
