"""What Slack's incoming webhooks take and refuse, and how a message they took reads.

Limits and answers follow docs.slack.dev (Block Kit reference, incoming
webhooks); where the documents are silent, this is the stricter of two readings.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

_BLOCKS_LIMIT = 50
_ATTACHMENTS_LIMIT = 100
_SECTION_LIMIT = 3000
_FIELDS_LIMIT, _FIELD_LIMIT = 10, 2000
_HEADER_LIMIT = 150
_ELEMENTS_LIMIT = 10
# Not documented, but met by those who sent more: msg_blocks_too_long.
_ALL_BLOCKS_LIMIT = 13_200
_SWITCH = {"plain_text": "emoji", "mrkdwn": "verbatim"}
# `<!channel>`, `<@U1>`, `<https://…|label>`: what Slack reads as more than text.
_CONTROL = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>")
_BOLD = re.compile(r"(?<!\w)\*(\S(?:[^*\n]*\S)?)\*(?!\w)")

Json = Mapping[str, Any]


class SlackRefusedError(Exception):
    """What is not posted; the text is Slack's own word for it, the body of a 400."""


def read(body: bytes) -> dict[str, Any]:
    """The payload of a request that Slack would post; raises `SlackRefusedError`."""
    try:
        payload = json.loads(body.decode("utf-8"))
        # A lone surrogate is valid JSON and no text.
        json.dumps(payload, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise SlackRefusedError("invalid_payload") from None
    if not isinstance(payload, dict):
        raise SlackRefusedError("invalid_payload")
    _check(payload)
    return payload


def shown(payload: Json) -> str:
    """A payload that was taken as a person reads it: the blocks from top to bottom; without blocks the text."""
    if not payload.get("blocks"):
        return _rendered({"type": "mrkdwn", "text": payload["text"]})
    return "\n".join(_rendered(part) for part in _parts(payload))


def _parts(payload: Json) -> list[Json]:
    return [
        part
        for block in payload.get("blocks") or ()
        for part in (block.get("text"), *block.get("fields", ()), *block.get("elements", ()))
        if part is not None
    ]


def mentions(payload: Json) -> tuple[str, ...]:
    """Whom a payload that was taken would call: `<!channel>`, `<@U1>` and the like where Slack reads them."""
    texts = [payload.get("text") or ""]
    texts += [part["text"] for part in _parts(payload) if part["type"] == "mrkdwn"]
    return tuple(
        found.group(1) for text in texts for found in _CONTROL.finditer(text) if found.group(1)[0] in "!@#"
    )


def _rendered(part: Json) -> str:
    if part["type"] == "image":
        return str(part["alt_text"])
    text = str(part["text"])
    if part["type"] == "mrkdwn":
        text = _BOLD.sub(r"\1", _CONTROL.sub(_replacement, text))
    return html.unescape(text)


def _replacement(found: re.Match[str]) -> str:
    what, label = found.group(1), found.group(2)
    return label or (f"@{what[1:]}" if what[0] in "!@" else what)


def _check(payload: Json) -> None:
    text, blocks = payload.get("text"), payload.get("blocks")
    attachments = payload.get("attachments")
    if not isinstance(text, str | None) or not isinstance(attachments, list | None):
        raise SlackRefusedError("invalid_payload")
    if attachments is not None and len(attachments) > _ATTACHMENTS_LIMIT:
        raise SlackRefusedError("too_many_attachments")
    if blocks is not None and not (isinstance(blocks, list) and _are_blocks(blocks)):
        raise SlackRefusedError("invalid_blocks")
    if not (text and text.strip()) and not blocks and not attachments:
        raise SlackRefusedError("no_text")


def _are_blocks(blocks: list[Any]) -> bool:
    if len(blocks) > _BLOCKS_LIMIT or len(json.dumps(blocks, ensure_ascii=False)) > _ALL_BLOCKS_LIMIT:
        return False
    return all(
        isinstance(block, dict) and block.get("type") in _BLOCKS and _BLOCKS[block["type"]](block)
        for block in blocks
    )


def _is_header(block: Json) -> bool:
    return _has_only(block, "text") and _is_text(block.get("text"), _HEADER_LIMIT, ("plain_text",))


def _is_section(block: Json) -> bool:
    if not _has_only(block, "text", "fields", "expand") or not block.keys() & {"text", "fields"}:
        return False
    fields = block.get("fields", [{"type": "mrkdwn", "text": "-"}])
    if not isinstance(fields, list) or not 1 <= len(fields) <= _FIELDS_LIMIT:
        return False
    return ("text" not in block or _is_text(block["text"], _SECTION_LIMIT)) and all(
        _is_text(field, _FIELD_LIMIT) for field in fields
    )


def _is_context(block: Json) -> bool:
    elements = block.get("elements")
    if not _has_only(block, "elements") or not isinstance(elements, list):
        return False
    return 1 <= len(elements) <= _ELEMENTS_LIMIT and all(_is_element(element) for element in elements)


def _is_element(element: Any) -> bool:
    if isinstance(element, dict) and element.get("type") == "image":
        return all(isinstance(element.get(key), str) for key in ("image_url", "alt_text"))
    return _is_text(element, _SECTION_LIMIT)


def _is_divider(block: Json) -> bool:
    return _has_only(block)


def _has_only(block: Json, *keys: str) -> bool:
    return block.keys() <= {"type", "block_id", *keys}


def _is_text(part: Any, limit: int, types: tuple[str, ...] = ("plain_text", "mrkdwn")) -> bool:
    """One text object: its type, its switch and nothing else, between one character and the limit."""
    if not isinstance(part, dict) or part.get("type") not in types:
        return False
    switch, text = _SWITCH[part["type"]], part.get("text")
    if part.keys() - {"type", "text", switch} or not isinstance(part.get(switch, False), bool):
        return False
    return isinstance(text, str) and bool(text.strip()) and len(text) <= limit


_BLOCKS: dict[str, Callable[[Json], bool]] = {
    "header": _is_header,
    "section": _is_section,
    "context": _is_context,
    "divider": _is_divider,
}
