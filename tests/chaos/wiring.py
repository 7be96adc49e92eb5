"""Which links there are between the programs of a stack, and the settings that lead through them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ports import HOST, Ports, free_ports
from program_settings import REGIONS, SERVICES

from chaos.links import Link

CALLS: Final = {
    "gateway": ("reseller", "tenant-connection", "subscription", "order", "audit"),
    "order": ("reseller", "tenant-connection", "subscription"),
    "tenant-connection": ("reseller", "order"),
    "subscription": ("reseller",),
    "reseller": ("tenant-connection", "order"),
    "audit": (),
}
"""Who calls whom (design §3)."""
MARKETPLACE: Final = "reseller>sandbox"


@dataclass
class Wiring:
    """A proxy on every link, and what each program must be told to go through them."""

    ports: Ports
    links: dict[str, Link] = field(default_factory=dict)
    doors: list[tuple[int, int]] = field(default_factory=list)

    async def open(self) -> None:
        """Listen on every link."""
        for service in SERVICES:
            for other in CALLS[service]:
                await self._link(service, other, self.ports.of(other))
            await self._link(service, "mongo", self.ports.mongo)
        for service, own in zip(SERVICES, free_ports(len(SERVICES)), strict=True):
            link = await self._link(service, "kafka", own)
            self.doors.append((own, link.port))
        await self._link("reseller", "sandbox", self.ports.sandbox)
        # Microsoft and the issuer of logins are nobody's link under test: their clients go straight.

    async def close(self) -> None:
        """End every link."""
        for link in self.links.values():
            await link.close()

    async def _link(self, client: str, server: str, target: int) -> Link:
        link = Link(f"{client}>{server}", target)
        await link.open()
        self.links[link.name] = link
        return link

    def settings(self, own: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
        """For each service, where it finds the others, and what it alone is told besides."""
        return {
            service: {**self._settings_of(service), **own.get(service, {})} for service in SERVICES
        }

    def _settings_of(self, service: str) -> dict[str, str]:
        found = {
            "MONGO__URL": f"mongodb://{self._address(service, 'mongo')}",
            "KAFKA__BOOTSTRAP_SERVERS": self._address(service, "kafka"),
        }
        for other in CALLS[service]:
            name = f"{other.upper().replace('-', '_')}_URL"
            found[name] = f"http://{self._address(service, other)}"
        if service == "reseller":
            found["REGIONS"] = json.dumps(
                [
                    {
                        "code": code,
                        "name": name,
                        "api_url": f"http://{self._address(service, 'sandbox')}/marketplace/{code}",
                        "marketplace_code": marketplace,
                    }
                    for code, name, marketplace in REGIONS
                ]
            )
        return found

    def _address(self, client: str, server: str) -> str:
        return f"{HOST}:{self.links[f'{client}>{server}'].port}"
