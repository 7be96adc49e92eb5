"""How a value of SimpleAPI is read: leniently in form, never by guessing what it means."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

# Wider than any price or seat count; keeps a hostile exponent from becoming a huge integer.
_LARGEST_EXPONENT = 30
_ZONE_AFTER_SPACE = re.compile(r"\s+(?=[+-]\d\d)")


class Resource(BaseModel):
    """A thing SimpleAPI answers with: frozen, camelCase outside, fields we do not know are ignored."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise ValueError("must be a number")
    if isinstance(value, int) and abs(value) >= 10**_LARGEST_EXPONENT:
        raise ValueError("is out of range")
    try:
        number = Decimal(value if isinstance(value, (int, Decimal)) else str(value).strip())
    except InvalidOperation:
        raise ValueError("must be a number") from None
    if not number.is_finite() or abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError("is out of range")
    return number


def _whole_number(value: object) -> int:
    number = _number(value)
    if number != number.to_integral_value():
        raise ValueError("must be a whole number")
    return int(number)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    raise ValueError("must be text")


def _identifier(value: object) -> str:
    """Ids are strings in most places and integers in some (§1.5): always a string here."""
    text = str(_whole_number(value)) if isinstance(value, (float, Decimal)) else _text(value)
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _folded(value: object) -> str:
    return _text(value).strip().casefold()


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        moment = value
    else:
        moment = datetime.fromisoformat(_ZONE_AFTER_SPACE.sub("", _text(value).strip()))
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


def _day(value: object) -> date:
    """The day as written: a plain date has no zone, so none is applied."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    return datetime.fromisoformat(_ZONE_AFTER_SPACE.sub("", _text(value).strip())).date()


def _or_none(read: Callable[[object], Any]) -> BeforeValidator:
    """Null, empty text and absence are all *unknown*, which is never zero."""

    def reading(value: object) -> Any:
        blank = value is None or (isinstance(value, str) and not value.strip())
        return None if blank else read(value)

    return BeforeValidator(reading)


def _rows(value: object) -> object:
    return () if value is None else value


def _attributes(value: object) -> object:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    return {
        str(name): item if isinstance(item, str) else json.dumps(item, default=str)
        for name, item in value.items()
        if item is not None
    }


def _empty_is_none(value: object) -> object:
    """An object without one single value says nothing."""
    empty = isinstance(value, dict) and all(item is None for item in value.values())
    return None if empty else value


Identifier = Annotated[str, BeforeValidator(_identifier)]
OptionalIdentifier = Annotated[str | None, _or_none(_identifier)]
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else _text(value))]
OptionalText = Annotated[str | None, _or_none(_text)]
# An enum value nobody knew of when this was written is kept as it came; absence is "unknown".
Enumerated = Annotated[
    str, BeforeValidator(lambda value: "unknown" if value in (None, "") else _text(value))
]
Number = Annotated[Decimal, BeforeValidator(_number)]
OptionalNumber = Annotated[Decimal | None, _or_none(_number)]
OptionalWholeNumber = Annotated[int | None, _or_none(_whole_number)]
OptionalMoment = Annotated[datetime | None, _or_none(_moment)]
OptionalDay = Annotated[date | None, _or_none(_day)]
Attributes = Annotated[dict[str, str], BeforeValidator(_attributes)]
Rows = BeforeValidator(_rows)


class Money(Resource):
    """An amount in a currency. The API sends decimal strings; a float is never involved."""

    currency: Identifier
    amount: Number


class Period(Resource):
    """`type` is day, month, year, statement_day or unknown, in lower case; `duration` counts them."""

    type: Annotated[str, BeforeValidator(_folded)]
    duration: Annotated[int, BeforeValidator(_whole_number)]

    def to_json(self) -> dict[str, Any]:
        """The period as SimpleAPI takes it."""
        return {"type": self.type, "duration": self.duration}


class Coterming(Resource):
    """Whether a purchase may or must end together with another one, and with what (§3.2)."""

    required: Enumerated = "unknown"
    type: Enumerated = "unknown"


OptionalMoney = Annotated[Money | None, BeforeValidator(_empty_is_none)]
OptionalPeriod = Annotated[Period | None, BeforeValidator(_empty_is_none)]
