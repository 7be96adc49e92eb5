"""Resellers: verification, adding, changing, and what the marketplace shows of them."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from purser_common.errors import FieldError, Forbidden, Invalid
from purser_common.identity import Caller
from purser_common.outbox import Loaded
from purser_common.web import (
    CallerOf,
    CauseOf,
    Page,
    RequestOf,
    answer,
    confirmed,
    if_match,
    position,
)
from purser_common.web import cursor as cursor_of
from purser_events.reseller import Reseller, ResellerAccount
from reseller_service.commands import resellers as commands
from reseller_service.commands.resellers import Choice, Registry
from reseller_service.domain.health import Connection, connection
from reseller_service.domain.resellers import Credentials, Edit, Verification

Limit = Annotated[int, Query(ge=1, le=200)]
_SENDABLE = re.compile(r"[\x21-\x7e]+")


class Views(Protocol):
    """Reads this service's own database."""

    async def account(self, reseller_id: str) -> ResellerAccount | None: ...


class Browser(Protocol):
    """Reads the marketplace live."""

    async def customers(
        self, reseller_id: str, name: str | None, offset: int, limit: int
    ) -> tuple[list[Any], int | None]: ...


def _key(value: SecretStr) -> SecretStr:
    if not _SENDABLE.fullmatch(value.get_secret_value()):
        raise ValueError("must be printable characters without spaces")
    return value


def _username(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if ":" in text or not text.isprintable():
        raise ValueError("must be printable and without a colon")
    return value


def one_line(value: str) -> str:
    """Printable text in one line, its spaces single. Raises ValueError without any."""
    text = " ".join(value.split())
    if not text or not text.isprintable():
        raise ValueError("must be printable characters, at least one")
    return text


_Secret = Annotated[SecretStr, Field(min_length=1, max_length=256)]
DisplayName = Annotated[str, Field(max_length=100), AfterValidator(one_line)]


class VerificationRequest(BaseModel):
    """The API user of a marketplace account; write-only."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    region: str = Field(max_length=20, description="Code of a region of the marketplace.")
    subscription_key: Annotated[_Secret, AfterValidator(_key)]
    username: Annotated[_Secret, AfterValidator(_username)]
    password: _Secret


class ResellerRequest(BaseModel):
    """Which of the verified resellers to add."""

    model_config = ConfigDict(extra="forbid")

    verification_id: str = Field(max_length=100)
    display_name: DisplayName
    marketplace_reseller_id: str = Field(min_length=1, max_length=100)


def _unless_blank(check: Callable[[SecretStr], SecretStr]) -> AfterValidator:
    return AfterValidator(lambda value: check(value) if value.get_secret_value() else value)


_Kept = Annotated[SecretStr, Field(max_length=256)]


class CredentialsPatch(BaseModel):
    """The parts of the credentials to replace; what is left out or blank stays. Write-only."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    subscription_key: Annotated[_Kept, _unless_blank(_key)] | None = None
    username: Annotated[_Kept, _unless_blank(_username)] | None = None
    password: _Kept | None = None

    def given(self) -> dict[str, SecretStr]:
        """The parts that are given."""
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: part for name, part in parts.items() if part and part.get_secret_value()}


class ResellerPatch(BaseModel):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    display_name: DisplayName | None = None
    region: str | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Only while no tenant is connected; the credentials must fit it.",
    )
    marketplace_reseller_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Only while no tenant is connected; one that the credentials show.",
    )
    credentials: CredentialsPatch | None = Field(
        default=None, description="Proven at the marketplace as a whole before they are stored."
    )
    buying_enabled: bool | None = None
    po_suffix: bool | None = Field(
        default=None,
        description="Whether a mark of the request follows each purchase order number that is sent.",
    )


class ResellerDetails(Reseller):
    """A reseller, and whether the marketplace takes its credentials."""

    connection: Connection


class MarketplaceCustomer(BaseModel):
    """A customer of the reseller, as the marketplace shows it."""

    id: str
    name: str


def router(registry: Registry, views: Views, browser: Browser) -> APIRouter:
    """The public routes about resellers."""
    routes = APIRouter(tags=["resellers"])
    _add_routes(routes, registry)
    _change_routes(routes, registry)
    _view_routes(routes, registry, views)
    _live_routes(routes, registry, browser)
    return routes


def _add_routes(routes: APIRouter, registry: Registry) -> None:
    @routes.post("/v1/reseller-verifications", status_code=201, operation_id="verify_credentials")
    async def verify(body: VerificationRequest, caller: CallerOf, keyed: RequestOf) -> Verification:
        """Prove credentials at the marketplace and list the resellers that they can see."""
        credentials = Credentials(
            subscription_key=body.subscription_key, username=body.username, password=body.password
        )
        return await commands.verify_credentials(registry, body.region, credentials, caller, keyed)

    @routes.post("/v1/resellers", status_code=201, operation_id="add_reseller")
    async def add(
        body: ResellerRequest,
        caller: CallerOf,
        cause: CauseOf,
        keyed: RequestOf,
        response: Response,
    ) -> Reseller:
        """Add one of the verified resellers; buying is off until it is turned on."""
        choice = Choice(**body.model_dump())
        loaded = await commands.add_reseller(registry, choice, caller, cause, keyed)
        response.headers["Location"] = f"/v1/resellers/{loaded.state.id}"
        return _answered(response, loaded)


def _change_routes(routes: APIRouter, registry: Registry) -> None:
    @routes.patch("/v1/resellers/{id}", operation_id="change_reseller")
    async def change(
        id: str,
        body: ResellerPatch,
        caller: CallerOf,
        cause: CauseOf,
        response: Response,
        expected: int = if_match,
    ) -> Reseller:
        """Change single fields: name, region, reseller, credentials, and how is bought."""
        edit = _edit(body)
        loaded = await commands.change_reseller(registry, id, edit, expected, caller, cause)
        return _shown(response, loaded.state.reseller, loaded.sequence)

    @routes.delete("/v1/resellers/{id}", operation_id="delete_reseller", dependencies=[confirmed])
    async def delete(
        id: str,
        caller: CallerOf,
        cause: CauseOf,
        response: Response,
        expected: int = if_match,
    ) -> Reseller:
        """Delete a reseller to which no tenant is connected, with its credentials."""
        loaded = await commands.delete_reseller(registry, id, expected, caller, cause)
        return _shown(response, loaded.state.reseller, loaded.sequence)


def _view_routes(routes: APIRouter, registry: Registry, views: Views) -> None:
    @routes.get("/v1/resellers/{id}", operation_id="view_reseller")
    async def one(id: str, caller: CallerOf, response: Response) -> ResellerDetails:
        """One reseller, without its credentials, and whether they work."""
        require_role(caller)
        loaded = await registry.resellers.load(id)
        shown = connection(loaded.state, await views.account(id))
        details = ResellerDetails(**loaded.state.model_dump(), connection=shown)
        return answer(response, f"reseller/{id}", loaded.sequence, details)


def _live_routes(routes: APIRouter, registry: Registry, browser: Browser) -> None:
    @routes.get("/v1/resellers/{id}/customers", operation_id="browse_customers")
    async def customers(
        id: str,
        caller: CallerOf,
        name: str | None = None,
        cursor: str | None = None,
        limit: Limit = 50,
    ) -> Page[MarketplaceCustomer]:
        """The reseller's customers at the marketplace, live; for those who see every customer."""
        require_role(caller, everywhere=True)
        rows, following = await browser.customers(id, name, _offset(cursor), limit)
        items = [MarketplaceCustomer(id=row.id, name=row.name) for row in rows]
        return Page[MarketplaceCustomer](items=items, next=_next(following))


def require_role(caller: Caller, *, everywhere: bool = False) -> None:
    """Raises Forbidden for a caller without any role; `everywhere`: without one in all scopes.

    Resellers, regions, products and mappings carry no customer's data, so every scope may see them.
    """
    scopes = {grant.scope for grant in caller.grants}
    if not scopes or (everywhere and "all" not in scopes):
        raise Forbidden("this needs a role" + (" for all customers" if everywhere else ""))


def _edit(body: ResellerPatch) -> Edit:
    given = body.model_fields_set
    cleared = [f"/{name}" for name in given if getattr(body, name) is None]
    parts = body.credentials
    if parts is not None:
        unset = [name for name in parts.model_fields_set if getattr(parts, name) is None]
        cleared += [f"/credentials/{name}" for name in unset]
    if cleared or not given:
        pointers = cleared or [f"/{name}" for name in ResellerPatch.model_fields]
        raise Invalid(
            "name at least one field to change, with a value",
            errors=tuple(FieldError(pointer, "give a value") for pointer in sorted(pointers)),
        )
    fields = body.model_dump(exclude={"credentials"})
    return Edit(**fields, credentials=parts.given() if parts else {})


def _answered(response: Response, loaded: Loaded[Reseller]) -> Reseller:
    return _shown(response, loaded.state, loaded.sequence)


def _shown(response: Response, reseller: Reseller, sequence: int) -> Reseller:
    return answer(response, f"reseller/{reseller.id}", sequence, reseller)


def _offset(cursor: str | None) -> int:
    found = position(cursor, int)
    return max(0, found[0]) if found else 0


def _next(offset: int | None) -> str | None:
    return None if offset is None else cursor_of(offset)
