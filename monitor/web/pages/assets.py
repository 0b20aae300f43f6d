"""The page's own style sheet, script and icons, at addresses with their checksums, so that browsers cache them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_FOLDER = Path(__file__).parent / "assets"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """A file of the page; `path` is where it is served."""

    path: str
    body: bytes
    content_type: str

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True, kw_only=True, slots=True)
class StateIcon:
    """The sign of a state, 20 by 20: a filled shape, the line on it, and its colour in a browser's tab."""

    shape: str
    line: str
    colour: str


_DISC = "M1 10a9 9 0 1 0 18 0a9 9 0 1 0-18 0z"
# By the code of the state. No two have the same shape and line: a colour alone tells some people nothing.
STATE_ICONS = {
    "up": StateIcon(shape=_DISC, line="M5.8 10.3 8.8 13.2 14.3 7.2", colour="#1f8a62"),
    "slow": StateIcon(shape=_DISC, line="M10 5.2V10.3L13.4 12.2", colour="#b07400"),
    "down": StateIcon(
        shape="M6 1h8l5 5v8l-5 5H6l-5-5V6z", line="M6.8 6.8l6.4 6.4M13.2 6.8l-6.4 6.4", colour="#d2453d"
    ),
    "in_doubt": StateIcon(shape="M10 1.2 19.2 18H.8z", line="M10 7.4v4.8M10 14.8v.6", colour="#c9630f"),
    "unknown": StateIcon(shape=_DISC, line="M6.2 10h7.6", colour="#7b8794"),
}


def _asset(name: str, body: bytes) -> Asset:
    stem, kind = name.split(".")
    return Asset(
        path=f"/assets/{stem}.{sha256(body).hexdigest()[:10]}.{kind}", body=body, content_type=_TYPES[kind]
    )


def _tab_icon(icon: StateIcon) -> bytes:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 20" stroke-linecap="round" stroke-width="2.4">'
        f'<path d="{icon.shape}" fill="{icon.colour}"/><path d="{icon.line}" fill="none" stroke="#fff"/></svg>'
    ).encode()


ASSETS = {
    **{name: _asset(name, (_FOLDER / name).read_bytes()) for name in ("page.css", "page.js")},
    **{f"icon-{code}.svg": _asset(f"icon-{code}.svg", _tab_icon(icon)) for code, icon in STATE_ICONS.items()},
}
