"""What Slack's incoming webhooks take and refuse, and how a message they took reads.

Of Block Kit it takes what the program posts, and refuses everything else. Limits and answers follow
docs.slack.dev; where the documents are silent, this is the stricter of two readings.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

_BLOCKS_LIMIT = 50
_ELEMENTS_LIMIT = 10
_HEADER_LIMIT, _SECTION_LIMIT = 150, 3000
# Not documented, but met by those who sent more: msg_blocks_too_long.
_ALL_BLOCKS_LIMIT = 13_200
_SWITCH = {"plain_text": "emoji", "mrkdwn": "verbatim"}
# `<!channel>`, `<@U1>`, `<https://…|label>`: what Slack reads as more than text.
_CONTROL = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>")
_CODE = re.compile(r"`([^`\n]+)`")
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_BOLD = re.compile(r"(?<!\w)\*(\S(?:[^*\n]*\S)?)\*(?!\w)")

Json = Mapping[str, Any]


class SlackRefusedError(Exception):
    """What is not posted; the text is Slack's own word for it, the body of a 400."""


def check(payload: Json) -> None:
    """Raises `SlackRefusedError` for a payload that Slack would not post."""
    text, blocks, attachments = payload.get("text"), payload.get("blocks"), payload.get("attachments")
    if not isinstance(text, str | None):
        raise SlackRefusedError("invalid_payload")
    if blocks is not None and not (isinstance(blocks, list) and _are_blocks(blocks)):
        raise SlackRefusedError("invalid_blocks")
    if attachments is not None and not (isinstance(attachments, list) and all(map(_is_attachment, attachments))):
        raise SlackRefusedError("invalid_attachments")
    if len(json.dumps([blocks, attachments], ensure_ascii=False)) > _ALL_BLOCKS_LIMIT:
        raise SlackRefusedError("invalid_blocks")
    if not (text and text.strip()) and not blocks and not attachments:
        raise SlackRefusedError("no_text")


def shown(payload: Json) -> str:
    """A payload that was taken as a person reads it: blocks, then attachments; without blocks the text first."""
    parts = [] if payload.get("blocks") else [{"type": "mrkdwn", "text": payload.get("text") or ""}]
    return "\n".join(filter(None, map(_rendered, [*parts, *_parts(payload)])))


def mentions(payload: Json) -> tuple[str, ...]:
    """Whom a payload that was taken would call: `<!channel>`, `<@U1>` and the like where Slack reads them."""
    texts = [payload.get("text") or ""]
    texts += [part["text"] for part in _parts(payload) if part["type"] == "mrkdwn"]
    found = [each.group(1) for text in texts for each in _CONTROL.finditer(text)]
    return tuple(one for one in found if one[0] in "!@#" and not one.startswith("!date^"))


def _parts(payload: Json) -> list[Json]:
    """Every text object, from top to bottom."""
    attached = [block for attachment in payload.get("attachments") or () for block in attachment["blocks"]]
    blocks = [*(payload.get("blocks") or ()), *attached]
    return [part for block in blocks for part in block.get("elements", [block.get("text")])]


def _rendered(part: Json) -> str:
    text = str(part["text"])
    if part["type"] == "mrkdwn":
        text = _BOLD.sub(r"\1", _CODE.sub(r"\1", _CONTROL.sub(_replacement, text)))
    return html.unescape(text)


def _replacement(found: re.Match[str]) -> str:
    what, label = found.group(1), found.group(2)
    return label or (f"@{what[1:]}" if what[0] in "!@" else what)


def _are_blocks(blocks: list[Any]) -> bool:
    if len(blocks) > _BLOCKS_LIMIT or len(json.dumps(blocks, ensure_ascii=False)) > _ALL_BLOCKS_LIMIT:
        return False
    return all(isinstance(block, dict) and _is_block(block) for block in blocks)


def _is_attachment(attachment: Any) -> bool:
    """One in the form that has blocks: with a colour, and the text that is read out in its place."""
    if not isinstance(attachment, dict) or attachment.keys() != {"color", "fallback", "blocks"}:
        return False
    colour, fallback, blocks = attachment["color"], attachment["fallback"], attachment["blocks"]
    is_coloured = isinstance(colour, str) and _COLOUR.fullmatch(colour) is not None
    return is_coloured and isinstance(fallback, str) and isinstance(blocks, list) and _are_blocks(blocks)


def _is_block(block: Json) -> bool:
    match block.get("type"):
        case "header":
            return block.keys() == {"type", "text"} and _is_text(block["text"], _HEADER_LIMIT, ("plain_text",))
        case "section":
            return block.keys() == {"type", "text"} and _is_text(block["text"], _SECTION_LIMIT)
        case "context":
            elements = block.get("elements")
            if block.keys() != {"type", "elements"} or not isinstance(elements, list):
                return False
            is_number_fine = 1 <= len(elements) <= _ELEMENTS_LIMIT
            return is_number_fine and all(_is_text(element, _SECTION_LIMIT) for element in elements)
    return False


def _is_text(part: Any, limit: int, types: tuple[str, ...] = ("plain_text", "mrkdwn")) -> bool:
    """One text object: its type, its switch and nothing else, between one character and the limit."""
    if not isinstance(part, dict) or part.get("type") not in types:
        return False
    switch, text = _SWITCH[part["type"]], part.get("text")
    if part.keys() - {"type", "text", switch} or not isinstance(part.get(switch, False), bool):
        return False
    return isinstance(text, str) and bool(text.strip()) and len(text) <= limit
