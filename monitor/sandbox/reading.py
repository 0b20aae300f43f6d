"""How a message reads in Slack or Telegram: from what was posted to lines as a person sees them.

What may be posted is checked in `inbox`; how a terminal shows a line is `screen`'s business.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from monitor.sandbox.screen import Line, Tone

_STARS = re.compile(r"\*(.+)\*")
_LINK = re.compile(r"<(https?://[^<>|]+)>")
_TAG = re.compile(r"</?(b|i|code)>")
_TONES = {"b": Tone.BOLD, "i": Tone.DIM, "code": Tone.DIM}


def slack_lines(payload: Mapping[str, Any]) -> list[Line]:
    """The blocks from top to bottom with the space that Slack leaves between them; without blocks the text."""
    if "blocks" not in payload:
        return [Line(html.unescape(text)) for text in str(payload.get("text", "")).split("\n")]
    lines: list[Line] = []
    for block in payload["blocks"]:
        lines += [Line("")] if lines else []
        lines += _block(block)
    return lines


def telegram_lines(payload: Mapping[str, Any]) -> list[Line]:
    """The text line by line, each in the style of its first tag."""
    text = str(payload.get("text", ""))
    if payload.get("parse_mode") != "HTML":
        return [Line(line) for line in text.split("\n")]
    lines: list[Line] = []
    for line in text.split("\n"):
        tag = _TAG.search(line)
        lines.append(Line(html.unescape(_TAG.sub("", line)), _TONES[tag.group(1)] if tag else Tone.PLAIN))
    return lines


def _block(block: Mapping[str, Any]) -> Iterator[Line]:
    tone = {"header": Tone.BOLD, "context": Tone.DIM}.get(block["type"], Tone.PLAIN)
    for part in block.get("elements", [block.get("text", {})]):
        for text in str(part.get("text", "")).split("\n"):
            marked = _STARS.fullmatch(text) if part.get("type") == "mrkdwn" else None
            shown = _LINK.sub(r"\1", marked.group(1) if marked else text)
            yield Line(html.unescape(shown), Tone.BOLD if marked else tone)
