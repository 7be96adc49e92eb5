"""Typed fragments of the services' settings, read from the environment (nested with `__`)."""

import sys
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Http(BaseModel):
    """Where the process listens."""

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)


class Mongo(BaseModel):
    """The service's own database."""

    url: str = "mongodb://127.0.0.1:27117"
    database: str
    driver: Literal["motor", "pymongo"] = "motor"
    timeout_ms: int = 5_000


class Kafka(BaseModel):
    """The brokers."""

    bootstrap_servers: str = "127.0.0.1:19092"
    partitions: int = 12
    replication: int = 3
    send_timeout_seconds: float = 30.0


class Identity(BaseModel):
    """The process's own signing key and everybody's public keys."""

    private_key_file: Path
    public_keys_dir: Path


class Keys(BaseModel):
    """The directory of key-encryption keys; `active` names the one that seals, else the newest."""

    kek_dir: Path
    active: str | None = None


class Crash(BaseModel):
    """Where armings of crash points are read and their hits are kept (tests only)."""

    armed: Path
    hits: Path


class ServiceSettings(BaseSettings):
    """What every service is told. A bad value stops the process with one clear line."""

    model_config = SettingsConfigDict(env_nested_delimiter="__", frozen=True, extra="ignore")

    environment: Literal["local", "test", "production"] = "production"
    role: Literal["all", "api", "worker"] = "all"
    instance: str = "1"
    log_level: str = "INFO"
    clock_url: str | None = Field(
        default=None, description="Where business time's offset is read; local and test only."
    )
    otlp_endpoint: str | None = Field(default=None, description="OTLP/HTTP collector for spans.")
    http: Http
    mongo: Mongo
    kafka: Kafka = Kafka()
    identity: Identity
    crash: Crash | None = None

    @field_validator("crash")
    @classmethod
    def _never_in_production(cls, crash: Crash | None, info: ValidationInfo) -> Crash | None:
        if crash is not None and info.data.get("environment", "production") == "production":
            raise ValueError("crash points cannot be armed with ENVIRONMENT=production")
        return crash


S = TypeVar("S", bound=BaseSettings)


def load(kind: type[S]) -> S:
    """Read the settings from the environment, or end the process with one line that names the field."""
    try:
        return kind()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = "__".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"setting {name}: {problem['msg']}\n")
        raise SystemExit(2) from None
