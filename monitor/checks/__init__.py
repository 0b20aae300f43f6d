"""One check of one database: credentials, the REST and Redis probes, the network below them, the outcome."""

import sys

# httpx loads its own command line (click, rich, pygments: 5 MB, 30 ms) wherever they are installed,
# and copes when it cannot. A process that runs for months has no use for it.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None: an import of it fails
