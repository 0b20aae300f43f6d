"""The kinds of value a setting can be: what is accepted, and in which words anything else is refused.

The refusals never repeat the value: it may be a secret under the wrong key.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, GetPydanticSchema, PlainSerializer, WithJsonSchema
from pydantic_core import core_schema

from monitor.config.channel_values import WrongValueError, apprise_url, bot_token, chat_id, slack_webhook, web_url
from monitor.config.windows import require_cron, require_zone
from monitor.lib.language import CODES
from monitor.lib.text import MASK, Secret
from monitor.lib.times import PATTERN, parse_duration, write_duration

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):([0-9]{1,5})")
_WHOLE_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
_SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
# At most four: they stand in front of the verdict.
_MENTION = r"<(?:!here|!channel|!everyone|@[UW][A-Z0-9]{2,20}|!subteam\^S[A-Z0-9]{2,20})>"
_MENTIONS = re.compile(rf"{_MENTION}(?: {_MENTION}){{0,3}}")
_BOT_IN_PATH = re.compile(r"/bot[0-9]+:")
# Nobody gives a database a name like this, and many a token looks so.
_TOKEN_LIKE = re.compile(r"(?=\S*[a-z])(?=\S*[A-Z])(?=\S*[0-9])[A-Za-z0-9+/=]{30,}")


def _to_duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError("wanted a duration such as 500ms, 10s, 5m, 1h30m or 7d")
    return parse_duration(value)


def _to_duration_or_off(value: Any) -> Any:
    """`off` in quotes, or bare, which YAML takes for false; a variable may hold any word for it."""
    if value is None or value is False or (isinstance(value, str) and _SWITCH.get(value.strip().lower()) is False):
        return None
    try:
        return _positive(_to_duration(value))
    except ValueError:
        raise ValueError("wanted a duration such as 1d or 12h, or off") from None


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("wanted more than 0s")
    return value


def _at_least_a_second(value: timedelta) -> timedelta:
    if value < timedelta(seconds=1):
        raise ValueError("wanted at least 1s")
    return value


def _to_whole_number(value: Any) -> Any:
    """A number from the file, or the text that a variable holds; `true` is no number."""
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("wanted a whole number")
    return value


def _to_switch(value: Any) -> Any:
    """A switch from the file, or the text that a variable holds."""
    if isinstance(value, str) and value.strip().lower() in _SWITCH:
        return _SWITCH[value.strip().lower()]
    if not isinstance(value, bool):
        raise ValueError("wanted true or false")
    return value


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _empty_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _unset_is_none(value: Any) -> Any:
    """Only a text that holds nothing is nothing: a password of blanks is a mistake, not the lack of one."""
    return None if value == "" else value


def _name(value: str) -> str:
    if not value.strip() or value != value.strip():
        raise ValueError("wanted a name without spaces around it")
    if len(value) > 200 or not value.isprintable():
        raise ValueError("wanted a name of at most 200 printable characters")
    if "://" in value or _TOKEN_LIKE.search(value):
        raise ValueError("wanted a short name; this looks like a URL or a token, and names are shown everywhere")
    return value


def _key_prefix(value: str) -> str:
    if not value or len(value) > 200 or not value.isprintable() or " " in value:
        raise ValueError("wanted 1 to 200 printable characters without spaces")
    return value


def _language(value: str) -> str:
    if value not in CODES:
        raise ValueError(f"wanted one of {', '.join(CODES)}")
    return value


def _address(value: str) -> str:
    match = _ADDRESS.fullmatch(value)
    if match is None or not 0 < int(match.group(2)) < 65536:
        raise ValueError("wanted HOST:PORT such as 1.1.1.1:443")
    return value


def _to_secret(value: Any, read_text: core_schema.ValidatorFunctionWrapHandler) -> Secret:
    return value if isinstance(value, Secret) else Secret(read_text(value))


def _secret_url(value: Secret) -> Secret:
    web_url(value.reveal())
    return value


def _apprise_url(value: Secret) -> Secret:
    apprise_url(value.reveal())
    return value


def _slack_webhook(value: Secret) -> Secret:
    slack_webhook(value.reveal())
    return value


def _slack_mention(value: str) -> str:
    if value and not _MENTIONS.fullmatch(value):
        raise ValueError("wanted <!here>, <!channel>, <@U…> of a member or <!subteam^S…> of a group, or several")
    return value


def _password(value: Secret | None) -> Secret | None:
    if value is not None and value.reveal() != value.reveal().strip():
        raise ValueError("wanted a password without spaces around it")
    return value


def _bot_api_url(value: str) -> str:
    if _BOT_IN_PATH.search(web_url(value)):
        raise ValueError("wanted the server alone, such as https://api.telegram.org; the token has its own key")
    return value


def _page_url(value: str) -> str:
    """Without a slash at its end. Railway gives the host alone, which it serves over https."""
    wanted = "the page's address such as https://monitor.example, without a password or a query"
    url = web_url(value if "://" in value else f"https://{value}", wanted)
    if any(character in url for character in "@?#|"):
        raise WrongValueError(wanted, "more than that")
    return url.rstrip("/")


def _local_time(value: Any) -> Any:
    """A text, or what YAML makes of one with seconds; a zone has its own key."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            value = None
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise ValueError("wanted a local time such as 2026-12-01T22:00; its zone is `timezone`")
    return value


def _bot_token(value: Secret) -> Secret:
    bot_token(value.reveal())
    return value


_DURATION_SCHEMA = {"type": "string", "pattern": f"^(?=.)({PATTERN})$", "examples": ["60s"]}
Duration = Annotated[
    timedelta,
    BeforeValidator(_to_duration),
    AfterValidator(_positive),
    PlainSerializer(write_duration, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
]
DurationOrZero = Annotated[
    timedelta,
    BeforeValidator(_to_duration),
    PlainSerializer(write_duration, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
]
DurationOrOff = Annotated[
    timedelta | None,
    BeforeValidator(_to_duration_or_off),
    PlainSerializer(lambda value: "off" if value is None else write_duration(value), return_type=str),
    WithJsonSchema({"anyOf": [_DURATION_SCHEMA, {"enum": ["off", False]}]}),
]
KeyPrefix = Annotated[str, AfterValidator(_key_prefix)]
LanguageCode = Annotated[str, AfterValidator(_language), WithJsonSchema({"type": "string", "enum": list(CODES)})]
Interval = Annotated[Duration, AfterValidator(_at_least_a_second)]
WholeNumber = Annotated[int, BeforeValidator(_to_whole_number)]
Switch = Annotated[bool, BeforeValidator(_to_switch)]
Name = Annotated[str, AfterValidator(_name)]
Address = Annotated[str, AfterValidator(_address)]
ChatId = Annotated[
    str,
    BeforeValidator(_number_as_text),
    AfterValidator(chat_id),
    WithJsonSchema({"type": ["string", "integer"], "examples": [-1001234567890, "@channel"]}),
]
OptionalName = Annotated[Name | None, BeforeValidator(_empty_is_none)]
PageUrl = Annotated[Annotated[str, AfterValidator(_page_url)] | None, BeforeValidator(_empty_is_none)]
Port = Annotated[WholeNumber | None, BeforeValidator(_empty_is_none)]
# Only the mask is ever written out; whoever needs the value asks for it by name.
SecretText = Annotated[
    Secret,
    GetPydanticSchema(
        lambda _source, _handler: core_schema.no_info_wrap_validator_function(_to_secret, core_schema.str_schema())
    ),
    PlainSerializer(lambda value: MASK if value else "", return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "password", "writeOnly": True}),
]
SecretUrl = Annotated[SecretText, AfterValidator(_secret_url)]
AppriseUrl = Annotated[SecretText, AfterValidator(_apprise_url)]
SlackWebhook = Annotated[SecretText, AfterValidator(_slack_webhook)]
SlackMention = Annotated[str, AfterValidator(_slack_mention)]
OptionalSecretUrl = Annotated[SecretUrl | None, BeforeValidator(_empty_is_none)]
OptionalPassword = Annotated[SecretText | None, BeforeValidator(_unset_is_none), AfterValidator(_password)]
BotToken = Annotated[SecretText, AfterValidator(_bot_token)]
BotApiUrl = Annotated[str, AfterValidator(_bot_api_url)]
CronExpression = Annotated[
    str,
    AfterValidator(require_cron),
    WithJsonSchema({"type": "string", "examples": ["0 3 * * SUN"]}),
]
TimeZone = Annotated[str, AfterValidator(require_zone)]
LocalTime = Annotated[
    datetime,
    BeforeValidator(_local_time),
    PlainSerializer(lambda value: value.isoformat(timespec="minutes"), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["2026-12-01T22:00"]}),
]
