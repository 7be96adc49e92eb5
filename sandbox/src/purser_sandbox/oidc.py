"""An OIDC issuer under ``/oidc``: password grant for scripts, code + PKCE for browsers, client
credentials for machines."""

import base64
import binascii
import hashlib
import hmac
import html
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import FormData

from purser_sandbox.issuer import Issuer
from purser_sandbox.users import CLIENTS, PUBLIC_CLIENTS, USERS, User

Json = dict[str, Any]
router = APIRouter(tags=["oidc"])
CODE_SECONDS = 60
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class OAuthError(Exception):
    """A refusal of RFC 6749 section 5.2."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code waiting for its exchange, once and within 60 s."""

    username: str
    client_id: str
    redirect_uri: str
    challenge: str
    nonce: str
    scope: str
    expires: float


def _issuer(request: Request) -> Issuer:
    issuer: Issuer = request.app.state.issuer
    return issuer


def _codes(request: Request) -> dict[str, Code]:
    state = request.app.state
    if not hasattr(state, "codes"):
        state.codes = {}
    codes: dict[str, Code] = state.codes
    return codes


@router.get("/oidc/.well-known/openid-configuration")
async def configuration(request: Request) -> Json:
    issuer = _issuer(request).settings.issuer
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "password", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "scopes_supported": ["openid", "profile"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": [
            "none", "client_secret_basic", "client_secret_post",
        ],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "name", "preferred_username",
                             "groups"],
    }  # fmt: skip


@router.get("/oidc/jwks")
async def jwks(request: Request) -> Json:
    return _issuer(request).jwks()


@router.get("/oidc/authorize")
async def authorize(
    request: Request,
    client_id: str = "",
    redirect_uri: str = "",
    response_type: str = "",
    code_challenge: str = "",
    code_challenge_method: str = "",
    state: str = "",
    nonce: str = "",
    scope: str = "openid",
    sandbox_user: str = "",
) -> Response:
    """A page to choose a demo user; `sandbox_user=NAME` signs in at once. The redirect URI must
    be on this machine."""
    if client_id not in PUBLIC_CLIENTS or not _local(request, redirect_uri):
        text = "<!doctype html><h1>The client or its redirect URI is not known</h1>"
        return HTMLResponse(text, 400)
    if response_type != "code" or code_challenge_method != "S256" or len(code_challenge) != 43:
        text = "response_type=code and a code_challenge of method S256 are required"
        answer = {"error": "invalid_request", "error_description": text, "state": state}
        return RedirectResponse(_with_query(redirect_uri, answer), 302)
    if not sandbox_user:
        return _user_page(request)
    if sandbox_user not in USERS:
        answer = {"error": "access_denied", "error_description": "unknown user", "state": state}
        return RedirectResponse(_with_query(redirect_uri, answer), 302)
    codes = _codes(request)
    for key in [key for key, row in codes.items() if row.expires < time.time()]:
        del codes[key]
    code = secrets.token_urlsafe(32)
    codes[code] = Code(
        sandbox_user, client_id, redirect_uri, code_challenge, nonce, scope,
        time.time() + CODE_SECONDS,
    )  # fmt: skip
    answer = {"code": code, "state": state, "iss": _issuer(request).settings.issuer}
    return RedirectResponse(_with_query(redirect_uri, answer), 302)


def _local(request: Request, address: str) -> bool:
    target = urlsplit(address)
    own = urlsplit(_issuer(request).settings.base_url).hostname
    known = {"127.0.0.1", "localhost", "::1", own}
    return target.scheme in ("http", "https") and target.hostname in known and not target.fragment


def _with_query(address: str, values: dict[str, str]) -> str:
    parts = urlsplit(address)
    kept = [(name, value) for name, value in values.items() if value]
    return parts._replace(query=urlencode([*parse_qsl(parts.query), *kept])).geturl()


def _user_page(request: Request) -> HTMLResponse:
    given = dict(request.query_params)
    links = []
    for user in USERS.values():
        query = html.escape(urlencode(given | {"sandbox_user": user.username}), quote=True)
        links.append(f'<li><a id="user-{user.username}" href="?{query}">{user.name}</a></li>')
    text = f"<!doctype html><title>Sign in</title><h1>Sign in as</h1><ul>{''.join(links)}</ul>"
    return HTMLResponse(text, headers=NO_STORE)


@router.post("/oidc/token")
async def token(request: Request) -> Response:
    form = await request.form()
    grants = {
        "password": _password,
        "authorization_code": _authorization_code,
        "client_credentials": _client_credentials,
    }
    try:
        grant = grants.get(str(form.get("grant_type")))
        if grant is None:
            raise OAuthError("unsupported_grant_type", "the grant type is not supported")
        answer = grant(request, form)
    except OAuthError as error:
        body = {"error": error.error, "error_description": error.description}
        return JSONResponse(body, error.status, headers=NO_STORE)
    return JSONResponse(answer, headers=NO_STORE)


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def _public_client(form: FormData) -> str:
    client_id = _text(form, "client_id")
    if client_id not in PUBLIC_CLIENTS:
        raise OAuthError("invalid_client", "the client is not known", 401)
    return client_id


def user_claims(user: User, client_id: str, scope: str) -> Json:
    return {
        "client_id": client_id,
        "azp": client_id,
        "scope": scope,
        "name": user.name,
        "preferred_username": user.username,
        "groups": user.groups,
    }


def _password(request: Request, form: FormData) -> Json:
    client_id = _public_client(form)
    user = USERS.get(_text(form, "username"))
    given = _text(form, "password").encode()
    if user is None or not hmac.compare_digest(user.password.encode(), given):
        raise OAuthError("invalid_grant", "the user name or the password is wrong")
    return _user_answer(request, user, client_id, _text(form, "scope") or "openid profile", "")


def _user_answer(request: Request, user: User, client_id: str, scope: str, nonce: str) -> Json:
    issuer = _issuer(request)
    access = issuer.access_token(user.username, user_claims(user, client_id, scope))
    answer = _answer(issuer, access, scope)
    if "openid" in scope.split():
        claims = {"name": user.name, "preferred_username": user.username}
        claims |= {"nonce": nonce} if nonce else {}
        answer["id_token"] = issuer.id_token(user.username, client_id, claims)
    return answer


def _answer(issuer: Issuer, access: str, scope: str) -> Json:
    life = issuer.settings.oidc_token_seconds
    return {"access_token": access, "token_type": "Bearer", "expires_in": life, "scope": scope}


def _authorization_code(request: Request, form: FormData) -> Json:
    client_id = _public_client(form)
    code = _codes(request).pop(_text(form, "code"), None)
    verifier = _text(form, "code_verifier").encode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=")
    if (
        code is None
        or code.expires < time.time()
        or code.client_id != client_id
        or code.redirect_uri != _text(form, "redirect_uri")
        or not hmac.compare_digest(code.challenge.encode(), digest)
    ):
        raise OAuthError("invalid_grant", "the code, its verifier or its redirect URI is wrong")
    return _user_answer(request, USERS[code.username], client_id, code.scope, code.nonce)


def _client_credentials(request: Request, form: FormData) -> Json:
    client_id, secret = _basic(request) or (_text(form, "client_id"), _text(form, "client_secret"))
    expected = CLIENTS.get(client_id)
    if expected is None or not hmac.compare_digest(expected.encode(), secret.encode()):
        raise OAuthError("invalid_client", "the client or its secret is wrong", 401)
    issuer, scope = _issuer(request), _text(form, "scope")
    claims = {"client_id": client_id, "azp": client_id, "groups": [f"purser-{client_id}"]}
    claims |= {"scope": scope} if scope else {}
    return _answer(issuer, issuer.access_token(client_id, claims), scope)


def _basic(request: Request) -> tuple[str, str] | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return unquote(name), unquote(secret)


class TokenRequest(BaseModel):
    """A token as a test wants it: expired, for another audience, from another issuer."""

    model_config = ConfigDict(extra="forbid")

    subject: str = Field(default="viewer", min_length=1)
    claims: Json = Field(default_factory=dict)
    expires_in: int | None = None
    audience: str | None = None
    issuer: str | None = None


@router.post("/sandbox/oidc/tokens", status_code=201, tags=["sandbox"])
async def post_token(request: Request, asked: TokenRequest) -> Json:
    """A signed token of any shape; the claims of a demo user where `subject` names one."""
    user = USERS.get(asked.subject)
    claims = user_claims(user, "purser-cli", "openid profile") if user else {}
    access = _issuer(request).access_token(
        asked.subject,
        claims | asked.claims,
        expires_in=asked.expires_in,
        audience=asked.audience,
        issuer=asked.issuer,
    )
    return {"access_token": access, "token_type": "Bearer"}


@router.post("/sandbox/oidc/rotation", status_code=201, tags=["sandbox"])
async def post_rotation(request: Request) -> Json:
    """A new signing key; tokens of the one before it stay valid."""
    return {"kid": _issuer(request).rotate()}
