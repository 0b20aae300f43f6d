"""Which lines of a worker's log speak of Redis, and what may be shown of them.

Fetching the log is done in `probes/railway`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from monitor.core.lines import mask_credentials, one_line

LINES = 3
LINE_LIMIT = 160
_READ_LIMIT = 4000
_TELLING = re.compile(
    r"redis(?!cover|trib)|upstash|wrongpass|noauth|noperm|econn[a-z]+|etimedout|enotfound|eai_again"
    r"|time(?:d[ -]?)?[ -]?out|max (?:daily )?requests? limit|capacity quota",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[0-9]+")


def telling_lines(messages: Sequence[str], *, scrub: Callable[[str], str]) -> tuple[str, ...]:
    """The last few different lines that speak of Redis, oldest first, scrubbed and cut.

    Lines that differ in their numbers alone, such as a retry's, count as one.
    """
    found: dict[str, str] = {}
    for message in reversed(messages):
        text = message[:_READ_LIMIT]
        if _TELLING.search(text) is None:
            continue
        # Scrubbed before it is cut: half a secret would not be found any more.
        line = one_line(mask_credentials(scrub(text)), LINE_LIMIT)
        found.setdefault(_NUMBER.sub("#", line), line)
        if len(found) == LINES:
            break
    return tuple(reversed(found.values()))
