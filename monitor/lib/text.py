"""Text that may leave the process: without secrets or what looks like them, on one printable line."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

MASK = "***"
_GRAM = 8  # so many characters of a secret's beginning or end are enough to give it away

_WRAPPING = " \t\r\n\v\f\u00a0\u200b\ufeff\"'`“”‘’«»"
_ASSIGNMENT = re.compile(r"(?:export\s+)?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\s*=\s*(.+)", re.DOTALL)
_BEARER = re.compile(r"bearer\s+(.+)", re.DOTALL | re.IGNORECASE)
_BOT_TOKEN = re.compile(r"(?:bot)?[0-9]+:(.{8,})", re.DOTALL)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#]*)(.*)", re.DOTALL | re.IGNORECASE)
_PLAIN_WORD = re.compile(r"[a-z]{1,15}")
_LEADING_WORDS = re.compile(r"\A/*(?:[a-z]{1,15}(?:/+|\Z))*")
_HEX = re.compile(r"%[0-9A-F]{2}")
# As html.escape writes them. Its module has a table of all entities: half a megabyte in every process.
_IN_HTML_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_IN_HTML = _IN_HTML_TEXT | str.maketrans({'"': "&quot;", "'": "&#x27;"})
_LEFT_ALONE_BY_CLIENTS = "!#$&'()*+,/:;=?@[]~"


class Scrubber:
    """A function `scrub(text) -> text` for a fixed set of secrets.

    Each secret becomes `***`: as it is, without the spaces and quotes around it, and escaped for URLs, JSON,
    HTML, Python's repr and base64. A cut secret is found by its first or last 8 characters and replaced as
    far as it matches; one shorter than 8 is replaced only where it stands as a word of its own.
    Of a URL the password, path and query are secret; scheme, host and plain words in the path are not.
    Scrubbing twice changes nothing more. The work grows with the text, not with the number of secrets.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._by_head: dict[str, tuple[str, ...]] = {}
        self._by_tail: dict[str, tuple[str, ...]] = {}
        words: set[str] = set()
        for piece in {piece for secret in secrets for piece in _pieces(secret)}:
            if len(piece) < _GRAM:
                words |= _forms(piece)
                continue
            for form in _forms(piece) | _base64_forms(piece):
                _enter(self._by_head, form[:_GRAM], form)
                _enter(self._by_tail, form[-_GRAM:], form)
        longest_first = sorted(words, key=len, reverse=True)
        alternatives = "|".join(re.escape(word) for word in longest_first)
        self._words = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)") if words else None

    def __call__(self, text: str) -> str:
        """Return the text with every secret replaced."""
        while True:
            cleaned = self._pass(text)
            if cleaned == text:
                return text
            # What stood on both sides of a secret may have become another one.
            text = cleaned

    def _pass(self, text: str) -> str:
        parts: list[str] = []
        done = 0
        for start, end in _merged(sorted(self._spans(text))):
            parts += (text[done:start], MASK)
            done = end
        cleaned = "".join(parts) + text[done:]
        return self._words.sub(MASK, cleaned) if self._words else cleaned

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        by_head, by_tail = self._by_head, self._by_tail
        if not by_head:
            return
        for start in range(len(text) - _GRAM + 1):
            gram = text[start : start + _GRAM]
            if gram in by_head:
                yield (
                    start,
                    start + max(_shared_start(form, text[start : start + len(form)]) for form in by_head[gram]),
                )
            if gram in by_tail:
                end = start + _GRAM
                yield (
                    end - max(_shared_end(form, text[max(0, end - len(form)) : end]) for form in by_tail[gram]),
                    end,
                )


def _pieces(secret: str) -> Iterator[str]:
    """What is worth hiding of a secret: the value without wrapping, and the parts that are secret too."""
    core = secret.strip(_WRAPPING)
    url = _URL.fullmatch(core)
    if url is not None:
        yield from filter(None, _url_pieces(url.group(1), url.group(2)))
        return
    # A row of stars is a mask that somebody copied; hiding it would hide our own.
    if not core.strip("*"):
        return
    for wrapper in (_ASSIGNMENT, _BEARER):
        # The variable's name and the word Bearer are in every manual; the value may itself be wrapped.
        wrapped = wrapper.fullmatch(core)
        if wrapped is not None:
            yield from _pieces(wrapped.group(1))
            return
    yield core
    bot_token = _BOT_TOKEN.fullmatch(core)
    if bot_token is not None:
        yield bot_token.group(1)


def _url_pieces(authority: str, rest: str) -> Iterator[str]:
    user_info, at, _ = authority.rpartition("@")
    if at:
        yield user_info.partition(":")[2] or user_info
    path, mark, query = rest.partition("?")
    # Plain words in front, such as /services/ or /api/webhooks/, are in every manual and no secret.
    tail = _LEADING_WORDS.sub("", path)
    yield (tail + mark + query).strip("/?")
    yield tail.strip("/")
    for part in (*tail.split("/"), *re.split("[&=]", query)):
        if len(part) >= _GRAM and not _PLAIN_WORD.fullmatch(part):
            yield part


def _forms(piece: str) -> set[str]:
    """The piece as it stands in URLs, JSON, HTML and reprs; most tokens are the same in all of them."""
    raw = piece.encode("utf-8", "surrogatepass")
    escaped = {piece, repr(piece)[1:-1], repr(raw)[2:-1], piece.encode("unicode_escape").decode("ascii")}
    escaped |= {form.replace("'", "\\'") for form in escaped}
    forms = escaped | {piece.translate(_IN_HTML), piece.translate(_IN_HTML_TEXT)}
    for form in escaped:
        for ascii_only in (True, False):
            in_json = json.dumps(form, ensure_ascii=ascii_only)[1:-1]
            forms |= {in_json, in_json.replace("/", "\\/")}
    for safe in ("", "/", _LEFT_ALONE_BY_CLIENTS):
        encoded = quote(raw, safe=safe)
        for written in (encoded, _HEX.sub(lambda match: match.group().lower(), encoded)):
            forms |= {written, written.replace("%20", "+")}
    return forms


def _base64_forms(piece: str) -> set[str]:
    """The characters that stand in any base64 of a text that holds the piece, such as `user:piece`.

    Three bytes in front shift nothing, so there are three ways for it to lie. The edges, where its bits mix
    with its neighbours', are left out.
    """
    raw = piece.encode("utf-8", "surrogatepass")
    forms: set[str] = set()
    for shift in range(3):
        lead = (shift * 8 + 5) // 6
        sure = (shift + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encode(bytes(shift) + raw).decode("ascii")[lead:sure])
    return forms


def _enter(index: dict[str, tuple[str, ...]], gram: str, form: str) -> None:
    index[gram] = (*index.get(gram, ()), form)


def _shared_start(form: str, text: str) -> int:
    return next(
        (at for at, (a, b) in enumerate(zip(form, text, strict=False)) if a != b), min(len(form), len(text))
    )


def _shared_end(form: str, text: str) -> int:
    return _shared_start(form[::-1], text[::-1])


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join spans that touch, so that neighbours leave one mask."""
    open_start, open_end = 0, 0
    for start, end in spans:
        if start <= open_end and open_end:
            open_end = max(open_end, end)
            continue
        if open_end:
            yield open_start, open_end
        open_start, open_end = start, end
    if open_end:
        yield open_start, open_end


_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_USER_INFORMATION = re.compile(r"(?<=://)[^\s@]*@")
_NAMED = re.compile(
    r"""((?:token|passw(?:or)?d|secret|api[-_]?key|authorization|credentials?)["']?\s*[=:]\s*["']?)"""
    r"""(?:(?:bearer|basic)\s+)?[^\s"',;&}]+""",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(r"\b(bearer|basic)\s+(?=\S*[0-9])\S{6,}", re.IGNORECASE)
# Letters and digits in one long word: a token, a key, an id. A database's host is worth keeping.
_LONG = re.compile(r"(?=[\w+/=-]*[0-9])(?=[\w+/=-]*[A-Za-z])[\w+/=-]{20,}+(?!\.upstash\.io\b)")


def one_line(text: str, limit: int) -> str:
    """The text on one printable line of at most `limit` characters; nothing in it steers a display."""
    plain = _COLOUR.sub("", text)
    line = " ".join("".join(character if character.isprintable() else " " for character in plain).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def mask_credentials(text: str) -> str:
    """The text with what looks like a credential masked, though nobody knows it for one.

    That is: user and password in a URL, the value behind a telling name, any long word of letters and digits.
    """
    text = _USER_INFORMATION.sub(f"{MASK}@", text)
    text = _NAMED.sub(rf"\1{MASK}", text)
    text = _AUTHORIZATION.sub(rf"\1 {MASK}", text)
    return _LONG.sub(MASK, text)
