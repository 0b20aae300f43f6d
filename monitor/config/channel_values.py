"""What can be known of a channel's address and key without sending anything, in words as exact as a URL's.

No text holds the value itself, unless it is a number or a name, which is no secret.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from monitor.lib.pasted import AROUND, ASSIGNMENT, is_masked, is_placeholder, paste_mistake

_SLACK_HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
_BOT_TOKEN = re.compile(r"(bot)?[0-9]{5,}:[A-Za-z0-9_-]{20,}", re.IGNORECASE)
_CHAT_NUMBER = re.compile(r"-?[0-9]{1,32}")
# core.telegram.org: a public name has 5 to 32 letters, digits and underscores; four are left from older times.
_CHAT_NAME = re.compile(r"@[A-Za-z][A-Za-z0-9_]{3,31}")
_WITH_TOPIC = re.compile(r"(-?[0-9]+)\s*[_/:#]\s*[0-9]+")
_SPACED_NUMBER = re.compile(r"-?\s*[0-9]+(?:[ ,.'][0-9]+)+|-\s+[0-9]+")
_NUMBER = re.compile(r"[-+]?[0-9]{1,14}")
_NAME = re.compile(r"[@#]?[A-Za-z][A-Za-z_ -]{0,19}")
_WITH_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# A link as Slack or Markdown writes it, or an address in a sentence.
_IN_BRACKETS = re.compile(
    r"<[a-z]+://[^<>]*>|(?:\[[^\]]*\])?\([a-z]+://[^()]*\)|\[[a-z]+://[^\[\]]*\]", re.IGNORECASE
)
_URL = re.compile(r"https?://[^\s\"'`<>]+", re.IGNORECASE)


class WrongValueError(ValueError):
    """A value that cannot be right: what was wanted, what was found instead, what to do next."""

    def __init__(self, wanted: str, found: str, next_step: str = "") -> None:
        super().__init__(f"wanted {wanted}")
        self.wanted = wanted
        self.found = found
        self.next_step = next_step


def web_url(value: str, wanted: str = "a URL such as https://host/path") -> str:
    """The value, if it is a URL for HTTP with a host; raises `WrongValueError`."""
    _refuse_artefacts(value, wanted)
    if " " in value or not _WITH_SCHEME.match(value):
        raise WrongValueError(wanted, _sort_of(value) or "one without https:// in front")
    try:
        parts = urlsplit(value)
        fits = _URL.fullmatch(value) and parts.hostname and parts.port != 0
    except ValueError:
        fits = None
    if not fits:
        raise WrongValueError(wanted, "something that cannot be read as one")
    return value


def apprise_url(value: str) -> str:
    """The value, if it can be an Apprise URL, of whatever service; raises `WrongValueError`."""
    wanted = "an Apprise URL such as ntfy://topic or mailto://…"
    _refuse_artefacts(value, wanted)
    if " " in value or not re.fullmatch(r"[a-z][a-z0-9+.-]*://.+", value, re.IGNORECASE):
        raise WrongValueError(wanted, _sort_of(value) or "one without the service in front")
    return value


def slack_webhook(value: str) -> str:
    """The value, if it can be an incoming webhook, of Slack or of what speaks like it; else `WrongValueError`."""
    wanted = "a webhook's URL, https://hooks.slack.com/services/…"
    step = "make an incoming webhook for the channel at api.slack.com/apps and paste its URL"
    _refuse_artefacts(value, wanted)
    if _BOT_TOKEN.fullmatch(value):
        raise WrongValueError(wanted, "a Telegram bot's token", "swap the two")
    if value.startswith(("xoxb-", "xoxp-", "xapp-", "xoxa-")):
        raise WrongValueError(wanted, "a token of a Slack app", step)
    if _NUMBER.fullmatch(value):
        raise WrongValueError(wanted, repr(value), step)
    if _NAME.fullmatch(value):
        raise WrongValueError(wanted, f"a channel's name ({value!r})", step)
    parts = urlsplit(web_url(value, wanted))
    host = (parts.hostname or "").removesuffix(".")
    if host in _SLACK_HOSTS:
        if parts.scheme != "https":
            raise WrongValueError(wanted, "http:// in front", "write https://")
        if not re.match(r"/(services|triggers|workflows)/.", parts.path):
            raise WrongValueError(wanted, "another path at Slack's host", step)
    elif host == "slack.com" or host.endswith(".slack.com"):
        raise WrongValueError(wanted, "the address of a page of Slack", step)
    elif host == "api.telegram.org":
        raise WrongValueError(wanted, "an address of Telegram", "use a channel of type telegram")
    return value


def slack_warning(value: str) -> str | None:
    """What may be meant and seldom is: another host in Slack's place, or an address that starts a workflow."""
    parts = urlsplit(value)
    host = (parts.hostname or "").removesuffix(".")
    if host in _SLACK_HOSTS:
        if parts.path.startswith("/services/"):
            return None
        kind = parts.path.split("/")[1]
        return (
            f"/{kind}/ starts a workflow and takes other fields than a message has. "
            "Next: use an incoming webhook, /services/…"
        )
    if host in ("discord.com", "discordapp.com", "ptb.discord.com", "canary.discord.com"):
        if parts.path.rstrip("/").endswith("/slack"):
            return None
        return "Discord takes Slack's messages only at its own address for them. Next: put /slack behind the URL"
    return f"{host} is not Slack. Next: see with `upstash-monitor test-alerts` that it answers as Slack does"


def bot_token(value: str) -> str:
    """The value, if it can be a bot's token; raises `WrongValueError`."""
    wanted = "the token alone, such as 123456:ABC…"
    step = "copy it from @BotFather"
    _refuse_artefacts(value, wanted)
    if _WITH_SCHEME.match(value):
        is_slack = (urlsplit(value).hostname or "") in _SLACK_HOSTS
        raise WrongValueError(
            wanted, "a Slack webhook" if is_slack else "a URL", "swap the two" if is_slack else step
        )
    if value.lower().startswith("bot") and ":" in value:
        raise WrongValueError(wanted, "one with `bot` in front", "leave `bot` out")
    if _CHAT_NUMBER.fullmatch(value) or value.startswith("@"):
        raise WrongValueError(wanted, f"a chat's number or name ({value!r})", f"{step}; this belongs into chat_id")
    if " " in value or "/" in value:
        raise WrongValueError(wanted, "one that holds a space or a slash", step)
    if not re.fullmatch(r"[0-9]+:.+", value):
        raise WrongValueError(wanted, "one without a number and a colon in front", step)
    return value


def chat_id(value: str) -> str:
    """The value, if it can be a chat's number or public name; raises `WrongValueError`."""
    wanted = "a chat's number such as -1001234567890, or @name of a channel"
    step = "forward a message of the chat to a bot that shows ids, or write @name of a public channel"
    _refuse_artefacts(value, wanted)
    if _CHAT_NUMBER.fullmatch(value):
        if not int(value):
            raise WrongValueError(wanted, repr(value), step)
        return value
    if _CHAT_NAME.fullmatch(value):
        return value
    if _BOT_TOKEN.fullmatch(value):
        raise WrongValueError(wanted, "a bot's token", "swap the two")
    if _WITH_SCHEME.match(value) or value.startswith(("t.me/", "telegram.me/")):
        raise WrongValueError(wanted, "a link", step)
    if _WITH_TOPIC.fullmatch(value):
        raise WrongValueError(wanted, f"a topic behind the chat's number ({value!r})", "leave the topic out")
    if _SPACED_NUMBER.fullmatch(value):
        meant = re.sub(r"[^0-9-]", "", value)
        raise WrongValueError(wanted, f"a number with something between its digits ({value!r})", f"write {meant}")
    if value.startswith("@") and (odd := re.search(r"[^A-Za-z0-9_]", value[1:])):
        raise WrongValueError(wanted, f"a name with {odd[0]!r} in it, which none has", step)
    if _CHAT_NAME.fullmatch(f"@{value}") and _NAME.fullmatch(value):
        raise WrongValueError(wanted, f"a name without @ ({value!r})", f"write @{value}, in quotes")
    if _NAME.fullmatch(value):
        raise WrongValueError(wanted, f"a chat's title ({value!r})", step)
    raise WrongValueError(wanted, _sort_of(value) or "neither", step)


def _refuse_artefacts(value: str, wanted: str) -> None:
    if not value.strip():
        raise WrongValueError(wanted, "only whitespace" if value else "nothing")
    core = value.strip(AROUND)
    if ASSIGNMENT.match(core) and not _WITH_SCHEME.match(core):
        raise WrongValueError(wanted, "an assignment NAME=value", "leave `NAME=` out")
    if mistake := paste_mistake(value):
        raise WrongValueError(wanted, f"one that {mistake}")
    if is_masked(core):
        raise WrongValueError(wanted, "one that was copied from where it is hidden")
    if _IN_BRACKETS.fullmatch(core):
        raise WrongValueError(wanted, "one in brackets, as a chat writes a link", "copy the address alone")
    if is_placeholder(core, is_upstash=True) or re.search(r"/(your|xxx|<)", core, re.IGNORECASE):
        raise WrongValueError(wanted, "a placeholder")


def _sort_of(value: str) -> str | None:
    if _BOT_TOKEN.fullmatch(value):
        return "a Telegram bot's token"
    if _NUMBER.fullmatch(value):
        return repr(value)
    return "one that holds a space" if " " in value else None
