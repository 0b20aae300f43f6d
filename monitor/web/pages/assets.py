"""The page's own style sheet, script and icon, each at an address with its checksum, so that browsers cache it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_FOLDER = Path(__file__).parent / "assets"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """A file of the page; `path` is where it is served."""

    path: str
    body: bytes
    content_type: str

    @property
    def text(self) -> str:
        return self.body.decode()


def _read(name: str) -> Asset:
    file = _FOLDER / name
    body = file.read_bytes()
    checksum = sha256(body).hexdigest()[:10]
    path = f"/assets/{file.stem}.{checksum}{file.suffix}"
    return Asset(path=path, body=body, content_type=_TYPES[file.suffix])


ASSETS = {name: _read(name) for name in ("page.css", "page.js", "icon.svg")}
