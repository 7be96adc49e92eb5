"""Demo users and machine clients of the issuer. Their passwords are public."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """A demo user named for its role; `groups` carries the role claim."""

    username: str
    name: str

    @property
    def password(self) -> str:
        return f"purser-{self.username}"

    @property
    def groups(self) -> list[str]:
        return [f"purser-{self.username}"]


USERS = {
    name: User(name, title)
    for name, title in {
        "admin": "Platform Admin",
        "requester": "Requester",
        "approver": "Approver",
        "purchaser": "Purchaser",
        "price-admin": "Price Admin",
        "credential-admin": "Credential Admin",
        "viewer": "Viewer",
        "auditor": "Auditor",
        "customer-viewer": "Customer Viewer",
    }.items()
}
PUBLIC_CLIENTS = {"purser-cli", "purser-console"}
CLIENTS = {"reporting": "purser-reporting"}
"""Machine clients and their secrets."""
