"""Names that people give, in one plain form."""

from purser_common.errors import FieldError, Invalid

MAX_NAME = 200
NAME_ERROR = FieldError("/name", f"1 to {MAX_NAME} characters")


def plain(name: str) -> str | None:
    """The name with single spaces; None for one that is empty, over-long or not printable."""
    found = " ".join(name.split())
    return found if 0 < len(found) <= MAX_NAME and found.isprintable() else None


def named(name: str) -> str:
    """The name with single spaces. Raises Invalid."""
    found = plain(name)
    if found is None:
        raise Invalid("a value is wrong; see errors", errors=(NAME_ERROR,))
    return found
