"""How far the searches go.

`make test` searches small worlds: two attempts, two facts, in under a minute. `make models` searches
larger ones: three attempts, three facts, in about 20 minutes.
"""

import os

LARGE = os.environ.get("MODELS") == "large"
ATTEMPTS = 3 if LARGE else 2
FACTS, LOG = (3, 5) if LARGE else (2, 4)
SECONDS = 4 * 3_600 if LARGE else 120
"""How long one search may take."""
