"""Whether the certificates that the environment names can be read; trusting them is the business of the probes.

Tried while the settings are read, so that it is told as any other mistake, and only where a variable is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from monitor.config.mistakes import Mistakes

_FILE, _FOLDER = "SSL_CERT_FILE", "SSL_CERT_DIR"
_NEXT = "correct {}, or unset it to trust certifi's list"


def check_trust(environ: Mapping[str, str], mistakes: Mistakes) -> None:
    """Note what is wrong with the file, or, where no file is named, with the folder; httpx asks in that order."""
    if environ.get(_FILE):
        found = _wrong_with_file(environ[_FILE])
        if found:
            mistakes.add((_FILE,), wanted="a file of certificates", found=found, next_step=_NEXT.format(_FILE))
    elif environ.get(_FOLDER) and not Path(environ[_FOLDER]).is_dir():
        wanted = "a folder of certificates"
        mistakes.add((_FOLDER,), wanted=wanted, found="no folder", next_step=_NEXT.format(_FOLDER))


def _wrong_with_file(name: str) -> str | None:
    import ssl

    try:
        ssl.create_default_context(cafile=name)
    except ssl.SSLError:
        return "no certificate in it"
    except OSError as error:
        return (error.strerror or "an error").lower()
    return None
