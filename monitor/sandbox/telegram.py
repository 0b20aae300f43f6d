"""What Telegram's `sendMessage` takes and refuses, and how a message it took reads.

Limits and texts follow core.telegram.org/bots/api. Of its HTML it takes the tags that the program sends; unlike
the real service, which shows them as they are, it refuses stray `<`, `>` and `&` and unknown entities.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

_TEXT_LIMIT = 4096  # UTF-16 units, after entity parsing
_TAGS = ("a", "b", "i", "code", "pre")
_HREF = re.compile(r' href="https?://[^\s"<>]+"')
_TOKEN = re.compile(
    r"<(?P<slash>/?)(?P<tag>[a-zA-Z][a-zA-Z0-9-]*)(?P<attributes>[^<>]*)>"
    r"|(?P<entity>&(?:lt|gt|amp|quot|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});)"
    r"|(?P<stray>[<>&])"
)
_MENTION = re.compile(r"(?<!\w)@[a-zA-Z0-9_]{2,32}\b")


class TelegramRefusedError(Exception):
    """What is refused; the text is the `description`, `parameters` and `status` go with it."""

    def __init__(
        self, description: str, parameters: Mapping[str, Any] | None = None, *, status: int = 400
    ) -> None:
        super().__init__(f"Bad Request: {description}" if status == 400 else description)
        self.parameters = parameters
        self.status = status


def read(values: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The message as it will be shown, and whom it would call; raises `TelegramRefusedError`."""
    text, mode = values.get("text", ""), values.get("parse_mode", "")
    if not isinstance(text, str):
        raise TelegramRefusedError("wrong type of the parameter")
    if mode not in ("", "HTML"):
        raise TelegramRefusedError("unsupported parse_mode")
    shown, outside_code = _parsed(text) if mode else (text, text)
    shown = shown.strip()
    if not shown:
        raise TelegramRefusedError("message text is empty")
    if len(shown.encode("utf-16-le")) // 2 > _TEXT_LIMIT:
        raise TelegramRefusedError("message is too long")
    return shown, tuple(_MENTION.findall(outside_code))


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
        tag = (token["tag"] or "").lower()
        if token["entity"]:
            show(html.unescape(token["entity"]))
        elif token["stray"]:
            raise _broken(f"Character '{token['stray']}' is reserved and must be escaped {offset}")
        elif token["slash"]:
            if not open_tags:
                raise _broken(f"Unexpected end tag {offset}")
            expected = open_tags.pop()
            if tag != expected:
                raise _broken(f'Unmatched end tag {offset}, expected "</{expected}>", found "</{tag}>"')
        elif tag not in _TAGS:
            raise _broken(f'Unsupported start tag "{tag}" {offset}')
        elif tag == "a" and _HREF.fullmatch(token["attributes"]):
            open_tags.append(tag)
        elif tag == "a" or token["attributes"].strip():
            raise _broken(f'Unexpected attributes of the tag "{tag}" {offset}')
        else:
            open_tags.append(tag)
    if open_tags:
        raise _broken(f'Can\'t find end tag corresponding to start tag "{open_tags[-1]}"')
    show(text[done:])
    return "".join(shown), "".join(outside_code)


def _broken(what: str) -> TelegramRefusedError:
    return TelegramRefusedError(f"can't parse entities: {what}")
