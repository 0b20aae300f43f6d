"""Slack: a notification as blocks for an incoming webhook, and what Slack's answers mean.

Limits and answers: docs.slack.dev (Block Kit reference; incoming webhooks, error table).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.alerts.channel import excerpt, try_again, unconfirmed
from monitor.alerts.notification import Notification, Severity
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.alerts.text import (
    NO_ORIGIN,
    Line,
    MessageText,
    Origin,
    compose,
    plain_text,
    short_text,
    written,
)
from monitor.lib.bounded_http import Answer, NoAnswerError, ask
from monitor.lib.times import Deadline

_FALLBACK_LIMIT = 3500
_SHORT_LIMIT = 1000
_HEADER_LIMIT = 150
_SECTION_LIMIT = 3000
_CUT_ENTITY = re.compile(r"&[a-z]{0,3}$")
# Characters that begin or end a style, and what they become. An underscore does so only at the edge of a word: one
# within a word, as in a variable's name, stays.
_EDGE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_STYLES = str.maketrans({"`": "'", "*": "∗", "~": "∼"})
# By the message's symbol, as it is beside it.
_COLOURS = {"🔴": "#d92d20", "🟡": "#eaaa08", "🟢": "#17b26a", "⚪": "#98a2b3"}
_STATUS_PAGE = "https://status.upstash.com"
_ADVICE = {
    "no_service": "the webhook was removed; make a new one and set webhook_url",
    "no_service_id": "the webhook was removed; make a new one and set webhook_url",
    "no_active_hooks": "the webhook was disabled; enable it or make a new one",
    "no_team": "the workspace is gone; make a webhook in another one",
    "team_disabled": "the workspace is disabled; make a webhook in another one",
    "invalid_token": "the webhook URL is not right; copy it again",
    "channel_not_found": "the webhook's channel is gone; make a new webhook",
    "channel_is_archived": "the webhook's channel is archived; restore it or make a new webhook",
    "action_prohibited": "an administrator forbids posting here; ask them, or make a new webhook",
    "user_not_found": "the webhook's user is gone; make a new webhook",
    "posting_to_general_channel_denied": "posting to this channel is not allowed; make a webhook for another",
    "invalid_auth": "the webhook URL is not right; copy it again",
    "not_authed": "the webhook URL is not right; copy it again",
    "token_revoked": "the webhook was removed; make a new one and set webhook_url",
    "account_inactive": "the webhook's user is gone; make a new webhook",
    "is_archived": "the webhook's channel is archived; restore it or make a new webhook",
    "restricted_action": "an administrator forbids posting here; ask them, or make a new webhook",
}
# Refusals of the form alone: short plain text may be taken.
_ABOUT_FORM = frozenset(
    {
        "invalid_payload",
        "invalid_blocks",
        "invalid_attachments",
        "too_many_attachments",
        "no_text",
        "msg_too_long",
        "msg_blocks_too_long",
    }
)
_RATE_LIMITED = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
_PASSING = frozenset({"rollup_error", "internal_error", "fatal_error", "service_unavailable", "request_timeout"})


class SlackChannel:
    """An incoming webhook. Only status 200 with the body `ok` confirms a message.

    Any other 2xx counts as sent, unless it is JSON that says `"ok": false` or `"success": false`, or one of the
    words with which Slack refuses: what stands in between may call every answer 200.
    """

    def __init__(
        self,
        *,
        name: str,
        webhook_url: str,
        mention: str = "",
        scrub: Callable[[str], str],
        origin: Origin = NO_ORIGIN,
    ) -> None:
        self.name = name
        self._origin = origin
        self._mention = mention
        self._webhook_url = webhook_url
        self._scrub = scrub

    def send(
        self,
        notification: Notification,
        *,
        notes: tuple[str, ...] = (),
        reply_to: str | None = None,
        timeout: timedelta,
    ) -> DeliveryResult:
        """Send as blocks; where Slack refuses their form, once more as short plain text.

        A webhook's message cannot be a reply: Slack gives no webhook the number of what it posted.
        """
        deadline = Deadline(timeout)
        message = compose(notification, notes, self._origin)
        is_alarm = notification.is_beginning and notification.severity is Severity.CRITICAL
        body = payload(message, mention=self._mention if is_alarm else "")
        try:
            answer = ask("POST", self._webhook_url, json=body, timeout=timeout)
            if answer.status == 400 or _error_of(answer) in _ABOUT_FORM:
                answer = ask("POST", self._webhook_url, json=_short_payload(message), timeout=deadline.left())
        except NoAnswerError as error:
            return DeliveryResult(status=DeliveryStatus.RETRY, detail=str(error))
        return self._result(answer)

    def probe(self, timeout: timedelta) -> None:
        """Slack documents no request that is certain to post nothing."""

    def _result(self, answer: Answer) -> DeliveryResult:
        if answer.status == 200 and answer.body.strip() == "ok":
            return DeliveryResult(status=DeliveryStatus.CONFIRMED, detail="ok")
        error = _error_of(answer)
        if error in _RATE_LIMITED:
            answer = replace(answer, status=429)
        if (later := try_again(answer, "Slack")) is not None:
            return later
        if error in _PASSING:
            return DeliveryResult(status=DeliveryStatus.RETRY, detail=f"Slack cannot take it now ({error})")
        reply = answer.json_object()
        is_refusal = (
            reply.get("ok") is False or reply.get("success") is False or error in _ADVICE or error in _ABOUT_FORM
        )
        if 200 <= answer.status < 300 and not is_refusal:
            return unconfirmed(answer, "Slack", "that the message arrived, and webhook_url")
        words = str(reply.get("error", "")) if reply else answer.body
        advice = _ADVICE.get(
            error, "check webhook_url: it must be an incoming webhook of Slack's, and still exist"
        )
        if 300 <= answer.status < 400:
            advice = "check webhook_url: it leads elsewhere, where nothing is sent; enter the final address"
        answered = f"{answer.status} {excerpt(words, self._scrub, 100)}".strip()
        return DeliveryResult(status=DeliveryStatus.PERMANENT, detail=f"Slack refused it ({answered}): {advice}")


def _error_of(answer: Answer) -> str:
    """The word that may be one of Slack's errors: the body itself, or what stands as `error` in its JSON."""
    body = answer.json_object().get("error", answer.body)
    return body.strip(" \t\r\n\"'").lower() if isinstance(body, str) else ""


def payload(message: MessageText, *, mention: str = "") -> dict[str, Any]:
    """The blocks, with a fallback text for notifications and screen readers.

    Headline and verdict stand above, where nothing is ever folded; the rest in an attachment, which alone has a
    colour, and of which Slack may fold what is long behind "Show more". `mention` is markup, and calls people.
    """
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain_text(message.first_line, _HEADER_LIMIT)},
    ]
    if verdict := " ".join(filter(None, (mention, _styled(message.verdict)))):
        blocks.append(_section(verdict))
    quoted = escape(message.detail).replace("`", "'")
    seen = [f"`{quoted}`"] if quoted else []
    seen += [_dated(line, message) for line in message.facts]
    steps = [f"*{message.language.say('Next')}*", *map(_styled, message.numbered_steps)] if message.steps else []
    parts = ("\n".join(lines) for lines in (seen, steps, map(_styled, message.notes)))
    last = [_plain_text(message.layers)] if message.layers else []
    if message.link:
        words = escape(message.language.say("Open the page"))
        last.append({"type": "mrkdwn", "text": f"<{escape(message.link)}|{words}>", "verbatim": True})
    last.append(_plain_text(message.reference))
    coloured = {
        "color": _COLOURS[message.symbol],
        "fallback": _fit(escape(message.first_line), _HEADER_LIMIT),
        "blocks": [*(_section(part) for part in parts if part), {"type": "context", "elements": last}],
    }
    text = _unlinked(_fit(escape(plain_text(message)), _FALLBACK_LIMIT))
    return {**text, "blocks": blocks, "attachments": [coloured]}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _fit(text, _SECTION_LIMIT), "verbatim": True}}


def _dated(line: Line, message: MessageText) -> str:
    """A line whose moments each reader sees in their own zone; in UTC where Slack cannot show that."""
    if isinstance(line, str):
        return _styled(line)
    return "".join(_moment(part, message) if isinstance(part, datetime) else _styled(part) for part in line)


def _moment(moment: datetime, message: MessageText) -> str:
    is_of_day = moment.astimezone(UTC).date() == message.day
    form = "{time_secs}" if is_of_day else "{date_short_pretty} {time_secs}"
    fallback = written(("", moment), message.day, date_form=message.language.date)
    return f"<!date^{int(moment.timestamp())}^{form}|{fallback}>"


def escape(text: str) -> str:
    """Slack's three characters; this stops mentions, links and `<!channel>` as well."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _short_payload(message: MessageText) -> dict[str, Any]:
    return _unlinked(_fit(escape(short_text(message)), _SHORT_LIMIT))


def _unlinked(text: str) -> dict[str, Any]:
    """A payload in which Slack neither previews links nor turns names into mentions."""
    return {"text": text, "unfurl_links": False, "unfurl_media": False, "link_names": False}


def _plain_text(text: str, limit: int = _SECTION_LIMIT) -> dict[str, Any]:
    return {"type": "plain_text", "text": _fit(escape(text), limit), "emoji": False}


def _fit(escaped: str, limit: int) -> str:
    """Escaped text cut to a limit, not within an entity: `&am` would be shown as it stands."""
    return escaped if len(escaped) <= limit else _CUT_ENTITY.sub("", escaped[: limit - 1]) + "…"


def _styled(text: str) -> str:
    """Text inside markup: escaped, without the characters that begin a style; the status page can be clicked."""
    safe = _EDGE_UNDERSCORE.sub("＿", escape(text).translate(_STYLES))
    return safe.replace(_STATUS_PAGE, f"<{_STATUS_PAGE}>")
