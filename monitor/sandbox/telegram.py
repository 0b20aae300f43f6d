"""What Telegram's `sendMessage` takes and refuses, and how a message it took reads.

Limits and texts follow core.telegram.org/bots/api; unlike the real service,
which shows them as they are, stray `<`, `>` and `&` and unknown entities are refused, as its documents ask for.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

_TEXT_LIMIT = 4096  # UTF-16 units, after entity parsing
_PLAIN_TAGS = ("b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "tg-spoiler", "pre")
_ATTRIBUTES = {
    **dict.fromkeys(_PLAIN_TAGS, re.compile(r"\s*")),
    "a": re.compile(r"""\s+href=("[^"]*"|'[^']*')\s*"""),
    "span": re.compile(r"""\s+class="tg-spoiler"\s*"""),
    "code": re.compile(r"""(\s+class="language-[^"]+")?\s*"""),
    "blockquote": re.compile(r"(\s+expandable)?\s*"),
    "tg-emoji": re.compile(r"""\s+emoji-id="[0-9]+"\s*"""),
}
_TOKEN = re.compile(
    r"<(?P<slash>/?)(?P<tag>[a-zA-Z][a-zA-Z0-9-]*)(?P<attributes>[^<>]*)>"
    r"|(?P<entity>&(?:lt|gt|amp|quot|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});)"
    r"|(?P<stray>[<>&])"
)
_MENTION = re.compile(r"(?<!\w)@[a-zA-Z0-9_]{2,32}\b")


class TelegramRefusedError(Exception):
    """What is not sent; the text is the `description` of a 400, `parameters` what goes with it."""

    def __init__(self, description: str, parameters: Mapping[str, Any] | None = None) -> None:
        super().__init__(description)
        self.parameters = parameters


def parameters(query: str, body: bytes, kind: str) -> dict[str, Any]:
    """The parameters of a call, from URL, form or JSON; raises `TelegramRefusedError`."""
    values: dict[str, Any] = dict(parse_qsl(query))
    try:
        text = body.decode("utf-8")
        if kind.startswith("application/json"):
            given = json.loads(text)
            json.dumps(given, ensure_ascii=False).encode("utf-8")
        else:
            given = dict(parse_qsl(text))
    except UnicodeError:
        raise TelegramRefusedError("Bad Request: strings must be encoded in UTF-8") from None
    except (ValueError, RecursionError):
        raise TelegramRefusedError("Bad Request: can't parse JSON object") from None
    if not isinstance(given, dict):
        raise TelegramRefusedError("Bad Request: wrong parameters")
    return {**values, **given}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A message as its reader sees it, and whom it would call."""

    text: str
    mentions: tuple[str, ...]


def read(values: Mapping[str, Any]) -> Shown:
    """The message as it will be shown; raises `TelegramRefusedError`."""
    text, mode = values.get("text", ""), values.get("parse_mode", "")
    if not isinstance(text, str) or not isinstance(mode, str):
        raise TelegramRefusedError("Bad Request: wrong type of the parameter")
    if mode.lower() not in ("", "html"):
        raise TelegramRefusedError("Bad Request: unsupported parse_mode")
    shown, outside_code = _parsed(text) if mode else (text, text)
    shown = shown.strip()
    if not shown:
        raise TelegramRefusedError("Bad Request: message text is empty")
    if len(shown.encode("utf-16-le")) // 2 > _TEXT_LIMIT:
        raise TelegramRefusedError("Bad Request: message is too long")
    return Shown(text=shown, mentions=tuple(_MENTION.findall(outside_code)))


def _parsed(text: str) -> tuple[str, str]:
    """The text without markup; then once more without what stands in code, where nothing is a mention."""
    shown: list[str] = []
    outside_code: list[str] = []
    open_tags: list[str] = []
    done = 0

    def show(part: str) -> None:
        shown.append(part)
        outside_code.append(" " * len(part) if {"code", "pre"}.intersection(open_tags) else part)

    for token in _TOKEN.finditer(text):
        show(text[done : token.start()])
        done = token.end()
        offset = f"at byte offset {len(text[: token.start()].encode())}"
        if token["entity"]:
            show(html.unescape(token["entity"]))
        elif token["stray"]:
            raise _broken(f"Character '{token['stray']}' is reserved and must be escaped {offset}")
        elif token["slash"]:
            _close(token["tag"].lower(), open_tags, offset)
        else:
            _check_tag(token["tag"].lower(), token["attributes"], offset)
            open_tags.append(token["tag"].lower())
    if open_tags:
        raise _broken(f'Can\'t find end tag corresponding to start tag "{open_tags[-1]}"')
    show(text[done:])
    return "".join(shown), "".join(outside_code)


def _close(tag: str, open_tags: list[str], offset: str) -> None:
    if not open_tags:
        raise _broken(f"Unexpected end tag {offset}")
    expected = open_tags.pop()
    if tag != expected:
        raise _broken(f'Unmatched end tag {offset}, expected "</{expected}>", found "</{tag}>"')


def _check_tag(tag: str, attributes: str, offset: str) -> None:
    if tag not in _ATTRIBUTES:
        raise _broken(f'Unsupported start tag "{tag}" {offset}')
    if not _ATTRIBUTES[tag].fullmatch(attributes):
        raise _broken(f'Unexpected attributes of the tag "{tag}" {offset}')


def _broken(what: str) -> TelegramRefusedError:
    return TelegramRefusedError(f"Bad Request: can't parse entities: {what}")
