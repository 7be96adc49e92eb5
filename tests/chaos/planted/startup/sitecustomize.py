"""Python runs this at its start where this directory is on PYTHONPATH: it plants `PLANTED_BUG`.

A bug that cannot be planted ends the process: Python itself would only print what goes wrong here.
"""

import os
import traceback

BAD_SOFTWARE = 70


def _plant(name: str) -> None:
    try:
        from chaos.planted.bugs import BUGS
        from chaos.planted.patches import Patches

        BUGS[name].plant(Patches())
    except BaseException:  # noqa: BLE001  whatever it is, the process must not go on without its bug
        traceback.print_exc()
        os._exit(BAD_SOFTWARE)


if named := os.environ.get("PLANTED_BUG"):
    _plant(named)
