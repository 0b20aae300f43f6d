"""Every text that a message may hold is in each language's table, and no message is half in English.

A new English text fails here until `monitor/lib/languages/CODE.toml` has it (CONTRIBUTING.md, Languages).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

from monitor.alerts import notification as notifications
from monitor.alerts.notification import NotificationKind, Severity
from monitor.alerts.text import Origin, compose, plain_text
from monitor.checks.observation import Outcome
from monitor.diagnosis.advice import WhoseMove, word
from monitor.diagnosis.verdicts import HostKind, Layer, LayerState, Verdict, VerdictCode
from monitor.lib.language import CODES, Language, language
from monitor.store.rollups.model import Grain
from monitor.web.pages.summary import _HEADLINE_OF_ONE, _PHASE_WORDS, DatabaseState, PageSpan
from tests.alerts.conftest import DIAGNOSED, OPENED, SINCE
from tests.alerts.test_messages import KINDS
from tests.judging import PROFILE, PROFILES
from tests.judging import explain as explained

ROOT = Path(__file__).parents[2]
OTHERS = [language(code) for code in CODES if code != "en"]
EACH = pytest.mark.parametrize("one", OTHERS, ids=lambda one: one.code)

# Where the finished sentences are made that `Language.sentence` gets.
SPEAKING = [
    f"{package}/{module}"
    for package, modules in {
        "checks": "answer canary classify connection credentials observation redis_tcp rest",
        "alerts": "apprise channel holds notification retry_policy slack telegram webhook",
        "engine": "cycle delivery round usage wiring",
        "store": "file/open file/resilient tables/deliveries errors",
        "lib": "bounded_http process pasted",
        "config": "channel_values",
        "cli/admin": "send_test",
    }.items()
    for module in modules.split()
]
# Texts in there that no message holds: what the log or a refusal to start says, and what is no text.
NOT_TOLD = {
    # What tries a template out.
    'he said "no" \\ and left',
    'did not pass: "token"',
    'the channel "x" is broken',
    # Confirmations.
    "written to the log",
    "Apprise sent it, and cannot tell whether it arrived",
    "the receiver answered {}",
    "unconfirmed: {}",
    # What the history says of a message that is not sent any more.
    "the channel is not configured any more",
    "{}; it may have arrived",
    # A warning of a library that is not shown.
    "Unable to find acceptable character detection",
    # The log's own lines, what `config check` warns of, and the terminal's.
    "a notification ({})",
    "; it asks to wait {}",
    "incident {} {}",
    "apprise {}",
    "channel probe",
    "the URL has no host",
    "used-up commands, a full database and a read-only token",
    "Could not decode to UTF-8",
    "its folder",
    "/{}/ starts a workflow and takes other fields than a message has. Next: use an incoming webhook, /services/…",
    "Discord takes Slack's messages only at its own address for them. Next: put /slack behind the URL",
    "{} is not Slack. Next: see with `upstash-monitor test-alerts` that it answers as Slack does",
    "; the chat has moved, set chat_id to {}",
    "sent, NOT confirmed",
    "NOT delivered",
    # What is looked for in a service's own text.
    "bad request",
    "parse entities",
    "retry after",
    "too long",
    "too many requests",
}
# What is in the table as a whole, and in the code in parts.
PARTS = {
    "in {} day{}",
    "the certificate ends {} ({})",
    "within {} s",
    "the resolver did not answer {}",
    "the host did not answer {}",
    "connected, but no answer {}",
    "the answer began, but was not complete {}",
    "not ended {}",
    "Apprise did not end within {} s",
    "Held back until {}: {}.",
    "at least {} of {} used",
    "you missed this: {} {} in {}, ",
    "upstash-monitor: {} is left out",
}
# The same of the table's own texts.
IN_PARTS = {
    *(
        f"{what} got {way}"
        for what, ways in {
            "Upstash": ("slower to answer", "faster to answer"),
            "your lookup": ("slower", "faster"),
            "the encryption handshake": ("slower", "faster"),
            "reading the answer": ("slower", "faster"),
            "the way to Upstash": (
                "longer",
                "shorter",
                "longer, Upstash itself did not get slower",
                "shorter, Upstash itself did not get faster",
            ),
        }.items()
        for way in ways
    ),
    "SET: null; GET",
    "and the name leads to",
    "answered",
    "check the url of this channel and its template",
    "cannot be reached since",
    "confirms no message since",
    "commands used",
    "copy it from @BotFather; this belongs into chat_id",
    "databases: recovered",
    "databases, now",
    "databases, still",
    "databases: unstable",
    "it has expired",
    "it is not yet valid",
    "its folder cannot be written by this user (uid",
    "no whole answer within",
    "not ended within",
    "reset before the answer was complete",
    "the answer began, but was not complete within",
    "the certificate ends in 1 day",
    "the certificate ends within a day",
    "the host did not answer within",
    "the host name could not be looked up within",
    "the usual port of the same host",
    "what it makes is no JSON, line",
    "what it makes is no JSON: put `| tojson` behind each field",
}
NO_TEXT = re.compile(r"^ERR |\\|[A-Z_]{4,} [A-Z(?*]|^[\d .*$()-]+$|^\W*$|^(BEGIN|PRAGMA)|https?://|_|^\{|^<a")
NOT_MESSAGES = ("logger.", "self._log", "click.", "re.", "super().__init__")


def strings(tree: ast.AST) -> Iterator[str]:
    """The texts of a module, without docstrings, errors and the log's lines; `{}` is what is filled in."""
    if isinstance(tree, ast.Raise):
        return
    if isinstance(tree, ast.Call) and ast.unparse(tree.func).startswith(NOT_MESSAGES):
        return
    if isinstance(tree, ast.Tuple) and [type(each) for each in tree.elts] == [ast.Constant, ast.Constant]:
        yield from strings(tree.elts[1])  # a table: what is looked for, and what is said then
        return
    if isinstance(tree, ast.Expr) and isinstance(tree.value, ast.Constant):
        return
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        yield tree.value
    if isinstance(tree, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in tree.values)
        yield "".join(str(part) for part in parts)
        for part in tree.values:
            if isinstance(part, ast.FormattedValue):
                yield from strings(part.value)
        return
    for child in ast.iter_child_nodes(tree):
        yield from strings(child)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def said() -> frozenset[str]:
    """What is put into a language by `say` and `count`, wherever that is."""
    found: set[str] = set()
    for path in (ROOT / "monitor").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)) if "say(" in source else ():
            if isinstance(node, ast.Call) and re.fullmatch(r"(.+\.)?(say|count)", ast.unparse(node.func)):
                found |= {text for each in node.args if isinstance(each, ast.Constant) for text in strings(each)}
    for template in (ROOT / "monitor/web/pages/templates").glob("*.html"):
        for said_there in re.findall(r"\bsay\((.*?)\)", template.read_text(encoding="utf-8")):
            found |= set(re.findall(r'"([^"%]*[^"% ])"(?!\])', said_there)) - {"sentence"}
    states = [state.value for state in DatabaseState]
    words = (
        *(f"{verb} {state}" for verb in ("is", "are") for state in states if (verb, state) != ("are", "up")),
        *states,
        *_HEADLINE_OF_ONE.values(),
        *_PHASE_WORDS.values(),
        *("The last " + span.value for span in PageSpan),
        *(span.value.capitalize() for span in PageSpan),
        *(f"{grain.value.capitalize()} (UTC)" for grain in Grain),
        *(f"{what} by {grain.value}" for what in ("Latency", "{name}: figures") for grain in Grain),
        *(outcome.words for outcome in Outcome),
        *(move.as_move for move in WhoseMove),
        *(move.words for move in WhoseMove),
        *(kind.value for kind in NotificationKind),
    )
    return frozenset({*found, *filter(None, words)})


@EACH
def test_every_text_that_is_filled_in_is_there(one: Language) -> None:
    """Of messages and of the page: each call of `say` and `count`, and the words of what is named by a code."""
    assert sorted(said() - one.known.keys()) == []


@EACH
def test_every_text_of_a_verdict_is_there(one: Language) -> None:
    """What each verdict means, and each step, whatever database it is about."""
    tree = parsed(ROOT / "monitor/diagnosis/advice.py")
    tables = (node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign))
    texts = {text for table in tables for text in strings(table) if " " in text}
    assert sorted(texts - one.known.keys()) == []


@EACH
@pytest.mark.parametrize("module", SPEAKING)
def test_every_finished_sentence_is_there(one: Language, module: str) -> None:
    """Each piece of a text in what makes details, titles and steps is in the table, or in no message."""
    known = "\n".join(re.sub(r"\{\w+[*,]?\}", "{}", text) for text in one.known).lower()
    pieces = {text for text in strings(parsed(ROOT / f"monitor/{module}.py")) if " " in text.strip()}
    missing = {
        text
        for text in pieces - NOT_TOLD - PARTS
        if not NO_TEXT.search(text) and text.strip(" ,;:().").lower() not in known
    }
    assert sorted(missing) == []


@EACH
def test_what_is_no_message_is_in_the_code(one: Language) -> None:
    """The two lists above hold nothing that is gone."""
    texts = {text for module in SPEAKING for text in strings(parsed(ROOT / f"monitor/{module}.py"))}
    assert sorted((NOT_TOLD | PARTS) - texts) == []
    keys = "\n".join(one.known)
    assert sorted(each for each in IN_PARTS if each not in keys) == []


@EACH
def test_no_text_is_left_over(one: Language) -> None:
    """What the table has is in the code: nobody keeps what nobody reads."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "monitor").rglob("*.py"))
    code = re.sub(r"[\"']\s*\n\s*f?[\"']", "", sources).lower()  # a text may be over several lines
    templates = (ROOT / "monitor/web/pages/templates").glob("*.html")
    code += "\n".join(path.read_text(encoding="utf-8").lower() for path in templates)
    pieces = {
        piece.strip(" ,;:().")
        for text in one.known.keys() - said()
        for piece in re.split(r"\{\w+[*,]?\}", text)
        if len(piece.split()) > 1
    }
    assert sorted(piece for piece in pieces - IN_PARTS if piece.lower() not in code) == []


# What stays as it is: names of products and protocols, of keys, commands and variables, and examples.
SAME = re.compile(
    r"`[^`]*`|https?://[^\s»]*|rediss?://\S*|#\d+|\b[\w.-]*[_@/.-][\w.-]*|\b[A-Z][A-Z0-9]*\b|\buid \d+"
    r"|\b(Upstash|Railway|Slack|Telegram|Redis|Apprise|Vercel|Fly|Storage|Usage|Pro|Fi|IPv[46]|AdGuard|Pi|Bot|REST|Bearer)\b"
    r"|\b(main|cache|slack|telegram|queue|staging|fra|hosts|wait|sealed|staged|canary|off|check|json|https|default"
    r"|incidents|ack|inode|maxmemory|maxclients|topic|type|url|template|doctor|workflow|tojson|deploy|heartbeat|page)\b"
)


def english(text: str) -> list[str]:
    """The English words in a text, without what stays as it is."""
    return re.findall(r"[A-Za-z]{2,}(?: [A-Za-z]+)*", SAME.sub(" ", text))


@EACH
def test_no_message_is_half_in_english(one: Language) -> None:
    """Each kind, each outcome as its cause, each layer, alone and in a group: only names and commands are left."""
    left: dict[str, list[str]] = {}
    told = [replace(notification, detail="") for notification, _, _ in KINDS.values() if notification.cause]
    told += [notification for notification, _, _ in KINDS.values() if not notification.cause]
    told += [
        replace(
            each, cause=outcome, causes=(Outcome.SLOW, outcome), before=Outcome.SLOW, verdict=explained(outcome)
        )
        for outcome in Outcome
        for each in told[:3]
    ]
    span = (SINCE, SINCE + timedelta(minutes=20))
    told += [
        replace(each, unchecked=(span,) * number, until=each.until and span[1])
        for each in told[: len(KINDS)]
        for number in (1, 3)
    ]
    told += [replace(each, nothing_reached=True, by_canary=True, is_unstable=True) for each in told[:20]]
    told += [replace(each, checks_failed=1, severity=Severity.WARNING) for each in told[:20]]
    told += [replace(OPENED, detail="", layers=layers_line(state)) for state in LayerState]
    for notification in told:
        message = compose(notification, (), Origin(language=one))
        if found := english(plain_text(message)):
            left[notification.kind.value] = found
    assert left == {}


def layers_line(state: LayerState) -> str:
    names = (notifications._SHORT_WORDS.get(layer, layer.words) for layer in Layer)
    return f"{notifications._STATES.get(state, 'did not pass')}: {', '.join(names)}"


@EACH
def test_no_verdict_is_half_in_english_or_cut(one: Language) -> None:
    """For databases of every kind; and each step has room for the longest usual names."""
    profiles = [*PROFILES[:: len(PROFILES) // 12], PROFILE, replace(PROFILE, host_kind=HostKind.OTHER)]
    left: set[str] = set()
    for profile in profiles:
        for code in VerdictCode:
            for outcome in (Outcome.TOKEN_MALFORMED, Outcome.SUSPENDED, Outcome.URL_MALFORMED):
                advice = word(Verdict(code=code, outcome=outcome, profile=profile), one)
                texts = (advice.meaning, *advice.next_steps)
                left |= {f"{found}: {text}" for text in texts for found in english(text)}
                if profile is PROFILE:
                    message = compose(
                        replace(DIAGNOSED, verdict=Verdict(code=code, outcome=outcome, profile=profile)),
                        ("late " * 10,),
                        Origin(
                            language=one, environment="production", region="eu", page_url="https://monitor.example"
                        ),
                    )
                    assert message.verdict == advice.meaning
                    assert message.steps == advice.next_steps
                    assert len(plain_text(message)) <= 900
    assert sorted(left) == []


@EACH
@pytest.mark.parametrize(
    "text",
    [
        "the history file cannot be written (the disk is full); going on from memory",
        "the history file cannot be written (its folder cannot be written by this user (uid 1000)); "
        "going on from memory",
        "upstash-monitor: telegram takes no message for 2 h 5 min",
        "the channel telegram cannot be reached",
        "channel slack is left out",
        "slack.webhook_url (in SLACK_WEBHOOK_URL): wanted a webhook's URL, https://hooks.slack.com/services/…, "
        "found one that ends with a newline",
        "at least 80% of the month's commands used",
        "at least 80% of the storage used",
        "91 of 100 GB used, 91%; at this pace it lasts until the month ends",
        "the certificate ends within a day (2026-12-06)",
        "within reach; nothing else was reached either: 1.1.1.1:443"[14:],
        "the resolver did not answer within 10 s; nothing else was reached either: 1.1.1.1:443, 8.8.8.8:443",
        "HTTP 502: an empty body",
        "certificate refused: it has expired",
        "SET: HTTP 502: an empty body; rediss:// the same",
        "PING answers; 4 h ago GET: another value in place of what was written",
        "empty, or its variable is not set; set instead: KV_REST_API_URL",
        "holds a zero-width space at position 7",
        "something that is not Slack answered 200: check that the message arrived, and webhook_url",
        "slack is broken since 2026-11-23 14:02:09 UTC: Slack refused it (404 no_service): the webhook was "
        "removed; make a new one and set webhook_url",
        "Held back until 2026-11-23 14:02:09 UTC: maintenance.",
    ],
)
def test_a_finished_sentence_is_wholly_in_the_language(one: Language, text: str) -> None:
    """With what it holds of others: reasons, moments, lists."""
    assert english(one.sentence(text)) == []
