"""Scrubber: no secret, and no telling part of one, is left in a text."""

from __future__ import annotations

import base64
import html
import json
import quopri
from collections.abc import Callable
from time import thread_time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.lib.text import Scrubber

TOKEN = "AXyz/Secret+Token_123=="
SLACK = "https://hooks.slack.com/services/T0AB12CD3/B0EF45GH6/kLmNoPqRsTuVwXyZ01234567"
BOT = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"


def _lower_hex(text: str) -> str:
    return quote(text, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d")


@pytest.mark.parametrize(
    "dress",
    [
        str,
        lambda token: f'"{token}"',
        lambda token: quote(token, safe=""),
        quote,
        quote_plus,
        _lower_hex,
        lambda token: json.dumps({"token": token}),
        lambda token: json.dumps(token).replace("/", "\\/"),
        lambda token: repr({"authorization": f"Bearer {token}"}),
        html.escape,
        lambda token: base64.b64encode(token.encode()).decode(),
        lambda token: base64.b64encode(f"default:{token}".encode()).decode(),
        lambda token: base64.b64encode(f"Bearer {token}".encode()).decode(),
        lambda token: base64.urlsafe_b64encode(f"user:{token}\n".encode()).decode(),
        lambda token: base64.b64encode(f"default:{token}".encode()).decode().rstrip("="),
        lambda token: base64.b64encode(f"default:{token}".encode()).decode().lower(),
        lambda token: quote(base64.b64encode(f"default:{token}".encode()).decode(), safe=""),
        str.lower,
        str.upper,
        str.swapcase,
        lambda token: quote(token, safe="").lower(),
        lambda token: quote(quote(token, safe=""), safe=""),
        lambda token: quote(token.lower(), safe="+"),
        lambda token: "".join(f"%{ord(each):02x}" if at % 3 else each for at, each in enumerate(token)),
        lambda token: "".join(f"%{ord(each):02X}" for each in token),
        lambda token: "".join(f"\\u{ord(each):04x}" for each in token),
        lambda token: json.dumps("".join(f"\\x{ord(each):02x}" for each in token)),
        lambda token: "".join(f"&#{ord(each)};" if at % 2 else each for at, each in enumerate(token)),
        lambda token: "".join(f"&#x{ord(each):X};" for each in token),
        lambda token: html.escape(html.escape(json.dumps(token))),
        lambda token: token.encode().hex(),
        lambda token: token.encode().hex().upper(),
        lambda token: f"{token[3:-3]}",
        lambda token: "".join(f"%u{ord(each):04X}" for each in token),
        lambda token: "".join(f"\\u{{{ord(each):x}}}" if at % 2 else each for at, each in enumerate(token)),
        lambda token: "".join(f"\\{ord(each):03o}" for each in token),
        lambda token: "".join(f"={ord(each):02X}" for each in token),
        lambda token: quopri.encodestring(("long " * 14 + token).encode()).decode().partition("ng A")[2],
        lambda token: " ".join(quopri.encodestring(token.encode()).decode().split()),
        lambda token: token.encode().hex(" "),
        lambda token: token.encode().hex(":").upper(),
        lambda token: token.encode().hex("-", 2),
        lambda token: token.encode().hex(" ", 4),
        lambda token: ", ".join(f"0x{byte:02x}" for byte in token.encode()),
        lambda token: quote(token.encode().hex(":"), safe=""),
        lambda token: json.dumps({"type": "Buffer", "data": list(token.encode())}),
        lambda token: repr(list(token.encode())[3:-3]),
        lambda token: "".join(chr(ord(each) + 0xFEE0) for each in token),
        lambda token: token.translate({0x41 + at: 0x1D400 + at for at in range(26)}),
        lambda token: "".join(f"&#{ord(each)}" + ";" * (at % 2) for at, each in enumerate(token)),
        lambda token: token.replace("/", "&sol;").replace("+", "&plus;").replace("=", "&equals;"),
        lambda token: html.escape(html.escape("".join(f"&#{ord(each)};" for each in token))),
        lambda token: "".join(f"%252525252525{ord(each):02x}" for each in token),
        lambda token: quote(quote(quote(quote(quote(quote(token, safe="")))))),
        # What is not seen is taken out for show, and what is left is one word.
        lambda token: "\x1b[1;31m".join(token[at : at + 5] for at in range(0, len(token), 5)),
        lambda token: "\\u001b[0m".join(token[at : at + 5] for at in range(0, len(token), 5)),
        "\u200b".join,
        "\u00ad".join,
        "\0".join,
    ],
)
def test_a_token_is_found_in_every_dress(dress: Callable[[str], str]) -> None:
    """Whatever library wrote the token, eight of its written characters in a row are not left."""
    written = dress(TOKEN)
    cleaned = Scrubber([TOKEN])(f"before {written} after")
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")
    assert "***" in cleaned
    assert "secret" not in cleaned.lower()
    middle = len(written) // 2
    assert written[middle - 4 : middle + 4] not in cleaned


@pytest.mark.parametrize(
    "secret", ['pass"word\\with\nall', "töken-größer-als", "pa'ss & <word>", "sur\udcffrogate-token"]
)
def test_a_token_that_needs_escaping_is_found_escaped(secret: str) -> None:
    """Repr, JSON, JSON of a repr and HTML forms of odd characters are known too."""
    scrub = Scrubber([secret])
    dresses = (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(repr(secret)[1:-1])[1:-1])
    for dressed in (*dresses, json.dumps(secret, ensure_ascii=False)[1:-1], html.escape(secret)):
        assert scrub(f"<{dressed}>") == "<***>"


@pytest.mark.parametrize("bare", ["AXyzSecretToken123", "AXyzSecret"])
def test_the_wrapping_of_a_pasted_value_does_not_hide_it(bare: str) -> None:
    """A value pasted with quotes, a newline, `Bearer ` or `NAME=` is found without them, whole or cut."""
    for wrapped in (
        ' "AXyzSecretToken123"\n',
        "Bearer AXyzSecretToken123",
        "UPSTASH_REDIS_REST_TOKEN=AXyzSecretToken123",
        'export UPSTASH_REDIS_REST_TOKEN="AXyzSecretToken123"',
        "https://default:AXyzSecretToken123@host.example",
    ):
        assert Scrubber([wrapped])(f"got {bare}.") == "got ***."


def test_the_name_in_front_of_a_pasted_value_stays_readable() -> None:
    """A variable's own name is no secret, messages must be able to name it."""
    scrub = Scrubber(["UPSTASH_REDIS_REST_TOKEN=AXyzSecretToken123"])
    assert scrub("set UPSTASH_REDIS_REST_TOKEN") == "set UPSTASH_REDIS_REST_TOKEN"


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (f"POST {SLACK} failed", "POST https://hooks.slack.com/services/*** failed"),
        ("/services/T0AB12CD3/B0EF45GH6/kLmN", "/services/***"),
        ("url: T0AB12CD3/B0EF45GH6/kLmNoPqRsTuVwXyZ01234567", "url: ***"),
        ("kLmNoPqRsTuVwXyZ01234567", "***"),
        ("kLmNoPqRs…", "***…"),
        ("no service at https://hooks.slack.com/services/…", "no service at https://hooks.slack.com/services/…"),
    ],
)
def test_a_webhook_loses_its_path_and_keeps_its_host(said: str, left: str) -> None:
    """The host helps the reader; the path opens the door, whole, in part or cut."""
    assert Scrubber([SLACK])(said) == left


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://hc-ping.com/0b3c1f5e-8d2a-4c7b-9e6f-1a2b3c4d5e6f", "0b3c1f5e-8d2a-4c7b-9e6f-1a2b3c4d5e6f"),
        ("https://hc-ping.com/Xk29sLqP81mmZa0c/upstash", "Xk29sLqP81mmZa0c"),
        ("https://kuma.example/api/push/q1w2e3r4t5?status=up", "q1w2e3r4t5"),
        ("https://alerts.example/in?key=Zx81Zx81Zx81&to=ops", "Zx81Zx81Zx81"),
    ],
)
def test_the_part_of_a_url_that_opens_the_door_is_hidden_alone(url: str, said: str) -> None:
    """Keys in a path or a query are hidden without the rest of the URL as well."""
    assert Scrubber([url])(f"id: {said};") == "id: ***;"


def test_a_url_without_a_key_hides_no_ordinary_word() -> None:
    """A receiver at /slack must not blacken the word slack in every line."""
    assert Scrubber(["http://127.0.0.1:8080/slack"])("slack is fine") == "slack is fine"


def test_a_bot_token_is_hidden_whole_and_without_its_number() -> None:
    """Telegram's token stands in the path of every URL and is known by its second half."""
    scrub = Scrubber([BOT])
    assert scrub(f"https://api.telegram.org/bot{BOT}/sendMessage") == "https://api.telegram.org/bot***/sendMessage"
    assert scrub(f"/bot{quote(BOT, safe='')}/getMe") == "/bot***/getMe"
    assert scrub("AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw") == "***"


def test_a_short_secret_goes_only_as_a_whole_word() -> None:
    """`pass` must not spoil `passed`; as a word of its own it is hidden."""
    assert Scrubber(["pass"])("pass 'pass' passed bypass") == "*** '***' passed bypass"


def test_a_dash_is_no_space_and_a_plus_may_be_one() -> None:
    """A token of words hides no sentence; one with a plus is found after a query was read."""
    assert Scrubber(["T0ken-of-the-case=="])("one of the keys; T0ken+of+the+case==") == "one of the keys; ***"
    assert Scrubber(["abc+defgh+ijk"])("abc defgh ijk, abc-defgh-ijk, abc+defgh+ijk") == "***, ***, ***"


@pytest.mark.parametrize("secret", ["my-database-token", "database.password.1", "DATABASE/upstash-monitor-alerts"])
def test_an_ordinary_word_within_a_secret_stays_readable(secret: str) -> None:
    """`the password of an older ***` says less to people, and to strangers what is in the secret."""
    scrub = Scrubber([secret])
    ours = "the password of an older database. Next: `upstash-monitor doctor`"
    assert scrub(ours) == ours
    assert scrub(f"older database, {secret}; {secret[:12]}") == "older database, ***; ***"


def test_an_ordinary_word_that_is_the_whole_secret_is_hidden() -> None:
    """Where it may be the secret itself nothing is risked."""
    assert Scrubber(["Database"])("an older database, databases") == "an older ***, ***s"


@pytest.mark.parametrize("secrets", [[], [""], ["  \n"], ["***"], ["********"]])
def test_an_empty_secret_changes_nothing(secrets: list[str]) -> None:
    """Unset values, whitespace and copied masks hide no text."""
    assert Scrubber(secrets)("all of  this *** stays ********") == "all of  this *** stays ********"


def test_a_host_without_its_scheme_in_the_tokens_place_does_not_hide_upstash() -> None:
    """A value in a wrong place is hidden; what is in every manual is not."""
    scrub = Scrubber(["eu1-able-fox-12345.upstash.io"])
    assert scrub("eu1-able-fox-12345: see status.upstash.com") == "***: see status.upstash.com"


def test_the_work_does_not_grow_with_what_a_hostile_host_repeats() -> None:
    """20 KB of a token's beginnings, or of half its escapes, cost what as much of any other text does."""
    scrub = Scrubber([TOKEN, BOT, SLACK])

    def cost(piece: str) -> float:
        """The least of three: what a busy machine adds is not the text's."""
        text, costs = (piece * 20_000)[:20_000], []
        for _ in range(3):
            started = thread_time()
            scrub(text)
            costs.append(thread_time() - started)
        return min(costs)

    ordinary = cost("nothing to hide, ")
    for piece in (TOKEN[:8], TOKEN[:-1], TOKEN[:8].lower() + " ", TOKEN[-8:], BOT[:9], TOKEN[:7]):
        assert cost(piece) < 8 * ordinary
    rows = ("41:58:", "41 ", "65, ", "=41", "= ", "4158 7430 ", "%25", "&amp;", "&", "%u00", "\uff21", "\\u{41}")
    for piece in ("%41", "\\", "&#65;", quote(TOKEN[:8]), "%2541", *rows):
        assert cost(piece) < 60 * ordinary


def test_neighbours_leave_one_mask_and_no_new_secret() -> None:
    """What is left of two secrets around a third one cannot form the third."""
    scrub = Scrubber(["ABCDEFGH", "1234***5678"])
    assert scrub("ABCDEFGHABCDEFGH") == "***"
    assert scrub("1234ABCDEFGH5678") == "***"


def test_a_thousand_secrets_are_all_found() -> None:
    """A fleet's tokens are scrubbed as one token is."""
    tokens = [f"AX{base64.b64encode(str(number * 7919).encode() * 5).decode()}" for number in range(1000)]
    scrub = Scrubber(tokens)
    assert [scrub(f"{token[:12]} and {token}!") for token in tokens] == ["*** and ***!"] * 1000


_LETTERS = st.text(
    st.characters(exclude_categories=["Cs", "Zs", "Cc"], exclude_characters=":/=\"'`“”‘’«»*\u200b\ufeff")
)
_MANUALS = "upstash_redis_rest_url upstash_redis_rest_token https:// .upstash.io .upstash.com"


def _is_hidden_whole(secret: str) -> bool:
    """Long enough to be looked for in parts, none of which stands in every manual."""
    runs = (secret[start : start + 8].lower() for start in range(len(secret) - 7))
    return len(secret) >= 8 and not any(run in _MANUALS for run in runs)


_SECRETS = st.lists(_LETTERS.filter(_is_hidden_whole), min_size=1, max_size=3)


@given(secrets=_SECRETS, around=st.lists(st.text(), min_size=4, max_size=4), data=st.data())
def test_no_telling_part_of_a_secret_is_left(secrets: list[str], around: list[str], data: st.DataObject) -> None:
    """Neither a secret nor eight or more characters of its beginning or end survive, plain or escaped."""
    secret = data.draw(st.sampled_from(secrets))
    cut = data.draw(st.integers(8, len(secret)))
    text = around[0] + secret + around[1] + secret[:cut] + around[2] + secret[-cut:] + around[3]
    scrub = Scrubber(secrets)
    for said in (text, repr(text), json.dumps(text), json.dumps(text, ensure_ascii=False), quote(text)):
        cleaned = scrub(said)
        assert scrub(cleaned) == cleaned
        for each in secrets:
            assert each[:8] not in cleaned
            assert each[-8:] not in cleaned
            assert quote(each[:8]) not in cleaned or "%" not in quote(each[:8])
