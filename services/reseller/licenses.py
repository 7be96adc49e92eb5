"""Renews the table of Microsoft's licences from the list that Microsoft publishes.

    python services/reseller/licenses.py "Product names and service plan identifiers for licensing.csv"

The CSV is linked from https://learn.microsoft.com/entra/identity/users/licensing-service-plan-reference,
one row for each service plan; the table has one for each licence. What is in the table and not in the
list any more stays: a tenant may still have it.
"""

import csv
import sys
from pathlib import Path

TABLE = Path(__file__).parent / "src/reseller_service/data/licenses.tsv"
HEAD = (
    "# Microsoft 365 licences: SKU id, part number (String_Id; empty: not known here), name, "
    "as Microsoft publishes them.\n# Renewed by services/reseller/licenses.py.\n"
)

Rows = dict[str, tuple[str, str]]


def published(source: Path) -> Rows:
    """Part number and name by SKU id. Raises KeyError for a file with other columns."""
    with source.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        return {
            row["GUID"].strip().lower(): (
                row["String_Id"].strip(),
                " ".join(row["Product_Display_Name"].split()),
            )
            for row in csv.DictReader(lines)
        }


def kept(table: Path) -> Rows:
    """The table as it is."""
    lines = table.read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return {id: (part, name) for id, part, name in rows}


def main(source: Path, table: Path = TABLE) -> None:
    """Write the table anew, by name."""
    rows = kept(table) | published(source)
    ordered = sorted(rows.items(), key=lambda row: (row[1][1].casefold(), row[0]))
    lines = (f"{id}\t{part}\t{name}\n" for id, (part, name) in ordered)
    table.write_text(HEAD + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
