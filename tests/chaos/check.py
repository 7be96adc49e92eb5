"""`python tests/chaos/check.py DIRECTORY`: judge the evidence of a run; exit code 1 on a violation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chaos.checker import BadEvidence, check


def main(arguments: list[str]) -> int:
    """Print the report. Exit code 2 when there is nothing to judge."""
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        report = check(Path(arguments[0]))
    except BadEvidence as problem:
        sys.stderr.write(f"cannot judge: {problem}\n")
        return 2
    sys.stdout.write(report.text() + "\n")
    return 1 if report.violations else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
