"""What every file of the project must hold to: a clean end, no trailing whitespace, a modest size, no secret.

`python tools/check_files.py FILE...` prints one line for each mistake and ends with 1 when there is any.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

LARGEST_BYTES = 500_000

# The shapes in which the issuers hand them out.
_SECRETS = {
    "a Slack webhook": re.compile(rb"hooks\.slack\.com/services/T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{24}"),
    "a Slack token": re.compile(rb"\bxox[abprs]-[A-Za-z0-9-]{20,}"),
    "a Telegram bot token": re.compile(rb"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b"),
    "an Upstash REST token": re.compile(rb"\bA[A-Za-z0-9]{51,}={0,2}"),
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}"),
    "an AWS access key": re.compile(rb"\bAKIA[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(rb"\bgh[pousr]_[A-Za-z0-9]{36}\b"),
}
# Parts of values of these shapes that open nothing: the stand-ins', Telegram's documented example, a test's.
_MADE_UP = (b"standInForTheRealOne", b"AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", b"kLmNoPqRsTuVwXyZ01234567")


def mistakes(path: Path) -> Iterator[str]:
    """What is wrong with the file, a line of text for each; a secret is named by its kind and never shown."""
    content = path.read_bytes()
    if len(content) > LARGEST_BYTES:
        yield f"{path}: wanted at most {LARGEST_BYTES} bytes, found {len(content)}"
    for kind, pattern in _SECRETS.items():
        for match in pattern.finditer(content):
            if not any(part in match[0] for part in _MADE_UP):
                place = f"{path}:{_line(content, match.start())}"
                yield f"{place}: found what could be {kind}. Next: take it out and revoke it"
    if b"\0" in content or not content:  # a picture, or an empty file such as `py.typed`
        return
    if not content.endswith(b"\n") or content.endswith(b"\n\n"):
        yield f"{path}: wanted exactly one newline at the end"
    if blank := re.search(rb"[ \t\r]+$", content, re.MULTILINE):
        yield f"{path}:{_line(content, blank.start())}: found whitespace at the end of the line"


def _line(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1


def main(names: list[str]) -> int:
    """Check these files; 1 when there is a mistake."""
    found = [mistake for name in names for mistake in mistakes(Path(name))]
    print(*found, sep="\n", end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
