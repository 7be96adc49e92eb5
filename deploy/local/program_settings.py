"""What the sandbox and the services of a local stack are told; supervisord.conf adds what differs."""

import json
from pathlib import Path

from ports import HOST, Ports

SERVICES = ("reseller", "tenant-connection", "subscription", "order", "audit", "gateway")
REGIONS = (("eu", "Europe", "eu"), ("na", "North America", "us"))
"""Code, name, and the marketplace's own code, as the sandbox has them."""
ENTRA_CLIENT = "6c1f4d0e-8a1b-4c59-9a53-0f6f0f2b7d11"


def program_settings(home: Path, ports: Ports) -> dict[str, str]:
    """The settings that all programs of a stack share, as environment variables."""
    sandbox = _url(ports, "sandbox")
    return {
        **{f"{_constant(name)}_URL": _url(ports, name) for name in (*SERVICES, "sandbox")},
        "ENVIRONMENT": "local",
        "ROLE": "all",
        "INSTANCE": "local-1",
        "HTTP__HOST": HOST,
        "MONGO__URL": f"mongodb://{HOST}:{ports.mongo}",
        "KAFKA__BOOTSTRAP_SERVERS": f"{HOST}:{ports.kafka}",
        "KAFKA__PARTITIONS": "3",
        "KAFKA__REPLICATION": "1",
        "CLOCK_URL": f"{sandbox}/sandbox/clock",
        "IDENTITY__PUBLIC_KEYS_DIR": str(home / "keys" / "public"),
        "OIDC__ISSUER": f"{sandbox}/oidc",
        "OIDC__AUDIENCE": "purser-api",
        "BOOTSTRAP_ADMINS": json.dumps(["group:purser-admin"]),
        **_sandbox(home, ports),
        **_microsoft(home, ports),
        "REGIONS": json.dumps(
            [
                {
                    "code": code,
                    "name": name,
                    "api_url": f"{sandbox}/marketplace/{code}",
                    "marketplace_code": marketplace,
                }
                for code, name, marketplace in REGIONS
            ]
        ),
    }


def _sandbox(home: Path, ports: Ports) -> dict[str, str]:
    secret = home / "keys" / "microsoft-client-secret"
    return {
        "SANDBOX_PORT": str(ports.sandbox),
        "SANDBOX_DATA_DIR": str(home / "sandbox"),
        "SANDBOX_ENTRA_CLIENT_ID": ENTRA_CLIENT,
        "SANDBOX_ENTRA_CLIENT_SECRET": secret.read_text().strip() if secret.exists() else "",
    }


def _microsoft(home: Path, ports: Ports) -> dict[str, str]:
    sandbox = _url(ports, "sandbox")
    return {
        "MICROSOFT__LOGIN_URL": f"{sandbox}/login",
        "MICROSOFT__GRAPH_URL": f"{sandbox}/graph/v1.0",
        "MICROSOFT__CLIENT_ID": ENTRA_CLIENT,
        "MICROSOFT__CLIENT_SECRET_FILE": str(home / "keys" / "microsoft-client-secret"),
        "CONSENT_CALLBACK_URL": f"{_url(ports, 'gateway')}/v1/consent/callback",
    }


def _url(ports: Ports, program: str) -> str:
    return f"http://{HOST}:{ports.of(program)}"


def _constant(program: str) -> str:
    return program.upper().replace("-", "_")
