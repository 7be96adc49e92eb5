"""What the marketplace's answers and errors mean in this system's words."""

from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, TypeVar

from purser_common.errors import FieldError, Invalid, NotFound, Problem, Unavailable
from purser_events.values import Money, Period, ProductIdentity, product_id
from purser_marketplace import errors, models
from purser_marketplace.answers import error_of, parse_json, read_as
from purser_marketplace.client import Marketplace as SimpleApi
from purser_marketplace.transport import Answered
from purser_marketplace.values import Resource
from reseller_service.domain.catalogue import Coterming, Listing, Need, PageOfRows, Row
from reseller_service.domain.health import Refusal
from reseller_service.domain.mapping import CatalogPrice, seats
from reseller_service.domain.resellers import VisibleReseller

R = TypeVar("R", bound=Resource)


class BadGateway(Problem):
    """502: the marketplace answered something that cannot be used."""

    status = 502
    default_code = "marketplace_answer_unusable"


class Refused(Problem):
    """409: the marketplace refused what it was asked."""

    status = 409
    default_code = "refused_by_marketplace"


_MEANINGS: tuple[tuple[type[errors.MarketplaceError], Callable[[Any], Problem]], ...] = (
    (errors.NotFound, lambda _: NotFound("the marketplace does not know it")),
    (
        errors.Throttled,
        lambda error: Unavailable(
            "the marketplace asks for a pause",
            code="account_paused",
            retry_after=error.retry_after or 5.0,
        ),
    ),
    (
        errors.Unauthorized,
        lambda _: Unavailable(
            "the marketplace does not take the reseller's credentials any more",
            code="marketplace_credentials_refused",
            retry_after=60.0,
        ),
    ),
    (
        errors.Forbidden,
        lambda error: Unavailable(
            f"the marketplace does not allow this: {error.message}",
            code="marketplace_forbids",
            retry_after=60.0,
        ),
    ),
    (errors.Refused, lambda error: Refused(f"the marketplace refused: {error.message}")),
    (errors.BadAnswer, lambda error: BadGateway(f"the marketplace answered: {error.message}")),
)


@contextmanager
def errors_as_problems() -> Iterator[None]:
    """Raise what goes wrong at the marketplace as a problem that a caller can act on."""
    try:
        yield
    except errors.MarketplaceError as error:
        raise _problem(error) from error


@contextmanager
def refusals_as_wrong_credentials() -> Iterator[None]:
    """Raise a refusal of fresh credentials as Invalid; no secret is repeated (R17)."""
    try:
        yield
    except errors.Throttled as error:
        raise _problem(error) from error
    except errors.Refused as error:
        remedy = "check this; region, subscription key, username and password must fit together"
        raise Invalid(
            "the marketplace does not take these credentials",
            code="credentials_refused",
            errors=tuple(
                FieldError(f"/{field}", remedy)
                for field in ("username", "password", "subscription_key")
            ),
        ) from error
    except errors.MarketplaceError as error:
        raise _problem(error) from error


def _problem(error: errors.MarketplaceError) -> Problem:
    for kind, meaning in _MEANINGS:
        if isinstance(error, kind):
            return meaning(error)
    return Unavailable("the marketplace cannot be asked now", code="marketplace_unavailable")


def is_outage(error: errors.MarketplaceError | None) -> bool:
    """Whether nobody answered, or only a gateway in front of somebody who does not."""
    if isinstance(error, errors.ServerError):
        return error.status in (502, 503, 504)
    return isinstance(error, errors.Unreachable)


def refusal_of(error: errors.MarketplaceError | None, resource: str | None) -> Refusal | None:
    """What a 401 or 403 with a new token says of the credentials; None for everything else."""
    if not isinstance(error, errors.Unauthorized | errors.Forbidden):
        return None
    detail = f"{error.status}: {error.message}"
    if error.by_gateway:
        return Refusal("gateway_refused", None, detail)
    if isinstance(error, errors.Unauthorized):
        return Refusal("credentials_refused", None, detail)
    return Refusal("forbidden", resource, detail)


def rows_of(model: type[R], answer: Answered) -> tuple[list[R], int | None]:
    """The rows of one page and the stated total. Raises MarketplaceError."""
    raw, total = _list_of(answer)
    return [read_as(model, row) for row in raw], total


def _list_of(answer: Answered) -> tuple[list[object], int | None]:
    if not answer.ok:
        raise error_of(answer.status, answer.headers, answer.body)
    body = parse_json(answer.body)
    rows = body.get("data") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(rows, list | None):
        raise errors.BadAnswer("the answer is not a list")
    pagination = body.get("pagination")
    total = pagination.get("total") if isinstance(pagination, dict) else None
    stated = isinstance(total, int) and not isinstance(total, bool)
    return list(rows or ()), total if stated else None


async def listed_resellers(api: SimpleApi) -> tuple[VisibleReseller, ...] | None:
    """The resellers that the account sees; None when the list is not for it."""
    try:
        return tuple([_visible(row) async for row in api.resellers()])
    except (errors.Forbidden, errors.NotFound):
        return None


async def own_reseller(
    api: SimpleApi, listed: tuple[VisibleReseller, ...]
) -> VisibleReseller | None:
    """The reseller of the account's customers; None while it has no customers."""
    id = await _reseller_of_first_customer(api)
    if id is None:
        return None
    for reseller in listed:
        if reseller.id == id:
            return reseller
    try:
        return _visible(await api.reseller(id))
    except (errors.Forbidden, errors.NotFound):
        return VisibleReseller(id=id, name=id)


async def _reseller_of_first_customer(api: SimpleApi) -> str | None:
    async with aclosing(api.customers()) as rows:  # type: ignore[type-var]
        async for row in rows:
            return row.reseller_id or (await api.customer(row.id)).reseller_id
    return None


def _visible(row: models.Reseller) -> VisibleReseller:
    return VisibleReseller(id=row.id, name=row.name or row.id)


def page_of_products(answer: Answered, *, own_prices: bool) -> PageOfRows:
    """A page of the catalogue, in which a row that cannot be read spoils no other.

    Raises MarketplaceError for an answer that is no list.
    """
    raw, total = _list_of(answer)
    return PageOfRows(tuple(_row(one, own_prices) for one in raw), total)


def _row(raw: object, own_prices: bool) -> Row:
    try:
        product = read_as(models.Product, raw)
    except errors.BadAnswer:
        return Row(_key(raw), None)
    listing = listing_of(product, own_prices=own_prices)
    if product.id is not None:
        return Row(product.id, listing)
    return Row(product_id("", listing.product) if listing else None, listing)


def _key(raw: object) -> str | None:
    id = raw.get("id") if isinstance(raw, dict) else None
    return str(id) if isinstance(id, str | int) and str(id).strip() else None


def listing_of(row: models.Product, *, own_prices: bool) -> Listing | None:
    """A row of the catalogue; None for one that does not say what identifies it.

    A parent's `costs` and `prices` are its own dealings with the levels around it: what it charges is
    what the reseller pays. So with its credentials the reseller's own figures are unknown (design §5).
    """
    subscribed, billed = row.subscription_period, row.billing_period
    if row.mpn is None or subscribed is None or billed is None:
        return None
    least, most = seats(row.minimum_quantity, row.maximum_quantity)
    ends = row.coterming
    return Listing(
        product=ProductIdentity(
            mpn=row.mpn,
            vendor=row.vendor or "",
            subscription_period=Period(type=subscribed.type, duration=subscribed.duration),
            billing_period=Period(type=billed.type, duration=billed.duration),
        ),
        name=row.name,
        service_name=row.service_name,
        minimum_quantity=least,
        maximum_quantity=most,
        billing_model=row.billing_model,
        depends_on=tuple(one.mpn for one in row.depends_on if one.mpn),
        prices=_prices(row.prices) if own_prices else (),
        costs=_costs(row.costs) if own_prices else None,
        marketplace_id=row.id,
        needs=tuple(Need(marketplace_id=one.id, mpn=one.mpn) for one in row.depends_on),
        coterming=Coterming(required=ends.required, type=ends.type) if ends else None,
    )


def _costs(rows: tuple[models.Price, ...]) -> tuple[CatalogPrice, ...] | None:
    """What is paid; unknown when a part of it is."""
    return _prices(rows) if rows and all(row.amount is not None for row in rows) else None


def _prices(rows: tuple[models.Price, ...]) -> tuple[CatalogPrice, ...]:
    return tuple(
        CatalogPrice(
            type=row.type,
            model=row.model,
            money=Money(currency=row.currency, amount=row.amount),
            lower_limit=None if row.lower_limit is None else int(row.lower_limit),
        )
        for row in rows
        if row.amount is not None
    )
