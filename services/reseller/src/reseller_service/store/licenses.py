"""Microsoft's published licences, which come with this package."""

from importlib.resources import files

from reseller_service.domain.licenses import Licenses, read


def published_licenses() -> Licenses:
    """Every licence in the package's own table; `licenses.py` beside the package renews it."""
    table = files("reseller_service").joinpath("data/licenses.tsv")
    return read(table.read_text(encoding="utf-8"))
