"""docs/outcomes.md, made from the outcomes, the known error texts, the advice and the default rules."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.checks.error_texts import COMMAND_TEXTS, KNOWN_ERRORS, KnownError
from monitor.checks.observation import Family, Outcome
from monitor.config.settings import AlertSettings, InARow
from monitor.diagnosis.advice import WhoseMove, advise
from monitor.diagnosis.verdicts import DatabaseProfile
from monitor.lib.times import write_duration

_OPENING = """\
# Outcomes

Made by `{command}` from the tables that checks and messages go by.

One check of one database ends in exactly one outcome.
The codes are stable: they are used in the history, in `check --json`, in webhooks and as metric labels.

Known error texts are matched first, by their beginning and without regard to case; then the HTTP status; then the
rest.
Words that clients put in front (`Command failed:`), and `ERR` in front of another code, are passed over.
The counts below are the defaults; `alerts` in `config.yaml` changes them.
The steps are those for a database at Upstash that is read from `UPSTASH_REDIS_REST_URL` and
`UPSTASH_REDIS_REST_TOKEN`. For another database the variables are its own, and nothing of Upstash's is named for a
host that is not Upstash's.
"""
_HEADINGS = {
    Family.FINE: "Fine",
    Family.SLOW: "Slow",
    Family.CONFIGURATION: "Configuration: nothing was sent",
    Family.TOKEN: "Token",
    Family.QUOTA: "Quota",
    Family.NETWORK: "Network",
    Family.SERVICE: "Service",
    Family.UNKNOWN: "Unknown: counts as nothing",
}
_RECOGNISED_BY = {
    Outcome.OK: "HTTP 200 and exactly the value that was asked for.",
    Outcome.SLOW: (
        "As `ok`, but the latency is above `slow`, the limit set for the database. Without a limit nothing is"
        " slow."
    ),
    Outcome.URL_MISSING: (
        "The URL is empty, its variable is not set, or it holds only whitespace. The detail names variables "
        "that are set and look alike. Nothing is sent."
    ),
    Outcome.TOKEN_MISSING: (
        "The token is empty, its variable is not set, or it holds only whitespace. The detail names variables"
        " that are set and look alike. Nothing is sent."
    ),
    Outcome.URL_MALFORMED: (
        "The URL as it stands is no https URL of a host: a `redis(s)://` URL, the Redis port behind a host of"
        " Upstash's, quotes, spaces or a newline around it, `NAME=value`, an unresolved `${{ }}` or `${ }`, a"
        " path, a query, a user name, a token, a placeholder (`undefined`, `your-…`), asterisks or bullets of"
        " a field that hides it. `http` is taken for hosts other than `*.upstash.io`. Nothing is sent, and "
        "the value is not repaired: the worker that reads the same variable gets no repair either."
    ),
    Outcome.TOKEN_MALFORMED: (
        "The token as it stands has whitespace or quotes in or around it, `Bearer ` or `NAME=` in front, a "
        "comma or a semicolon behind `==`, an unresolved reference, or a character outside printable ASCII; "
        "or it is a URL, a placeholder (`undefined`, `YOUR_TOKEN_HERE`), or asterisks or bullets of a field that "
        "hides it. Nothing is sent."
    ),
    Outcome.TOKEN_REJECTED: (
        "HTTP 401 in Upstash's form, a JSON object with `error` or the bare word `Unauthorized`; or one of these "
        "texts. Any other 401 is somebody else's wall: `not_upstash`."
    ),
    Outcome.PERMISSION_DENIED: "One of these texts. Host and token are good; command or key is not allowed.",
    Outcome.QUOTA_EXCEEDED: "One of these texts, whatever the HTTP status.",
    Outcome.SUSPENDED: "One of these texts.",
    Outcome.CAPACITY_FULL: "One of these texts. Only a write can see it: the canary does.",
    Outcome.RATE_LIMITED: "HTTP 429 without a known text; or one of these texts.",
    Outcome.TOO_MANY_CONNECTIONS: "One of these texts.",
    Outcome.DNS_NOT_FOUND: "The resolver says that the name does not exist.",
    Outcome.DNS_FAILED: "The resolver failed, or did not answer before the deadline.",
    Outcome.CONNECTION_REFUSED: (
        "The system says so. A public name that leads to this machine alone, as filters of names have it, is "
        "told in the detail."
    ),
    Outcome.NETWORK_UNREACHABLE: "The system has no route, or may not use it.",
    Outcome.CONNECTION_TIMEOUT: "No TCP connection before the deadline.",
    Outcome.TLS_TIMEOUT: "The TCP connection stood, the TLS handshake did not end before the deadline.",
    Outcome.TLS_FAILED: (
        "The certificate is not trusted, expired, not yet valid or for another name, or the other side does "
        "not speak TLS."
    ),
    Outcome.CONNECTION_LOST: (
        "Reset, closed or cut short after the connection stood, and no telling HTTP status came before."
    ),
    Outcome.RESPONSE_TIMEOUT: (
        "Connected, but the whole answer was not there before the deadline; an answer that drips counts too."
    ),
    Outcome.SERVER_ERROR: "HTTP 5xx but 511, whatever the body says, unless it is one of the known texts.",
    Outcome.UNAVAILABLE: "One of these texts.",
    Outcome.STALE_READ: "The canary's key was written, and read back as null or as another value.",
    Outcome.ACCESS_DENIED: "HTTP 403, 407, 451 or 511, with or without a text; or one of these texts.",
    Outcome.NOT_UPSTASH: (
        "An answer that no Upstash database gives: HTML, a redirect (the detail names where it leads), a 401 "
        "in another form, another 4xx, JSON of another shape, the wrong value, an answer that cannot be "
        "decoded or is larger than 1 MiB, or no HTTP at all."
    ),
    Outcome.COMMAND_ERROR: (
        "Any other error text. These are known, and about the one command that was sent; the rest is on nobody's "
        "list."
    ),
    Outcome.OFFLINE: (
        "The check failed on the network, no connectivity host accepts a connection, and at least one of them"
        " did within the last day; or, in `run`, nothing at all was ever reached and it is not five minutes that"
        " this was tried: our network may be starting as well. Counts as nothing, and is a gap in the history."
    ),
    Outcome.MONITOR_ERROR: (
        "A fault of the monitor itself, a limit of this process or machine (no file descriptor, port or memory "
        "left), or a check that it had to break off. Counts as nothing."
    ),
}


def outcomes_page(profile: DatabaseProfile, *, command: str) -> str:
    """The whole page, with the words for a database of this profile; `command` writes it."""
    return _OPENING.replace("{command}", command) + "\n" + "\n".join(_sections(profile)).rstrip("\n") + "\n"


def _sections(profile: DatabaseProfile) -> Iterator[str]:
    for family, heading in _HEADINGS.items():
        yield f"## {heading}\n"
        yield from _when_it_alerts(family)
        for outcome in Outcome:
            if outcome.family is family:
                yield from _entry(outcome, profile)


def _entry(outcome: Outcome, profile: DatabaseProfile) -> Iterator[str]:
    advice = advise(outcome, profile)
    yield f"### `{outcome.value}`\n"
    yield f"{advice.meaning}\n"
    yield f"*Recognised by:* {_RECOGNISED_BY[outcome]}\n"
    yield from _texts(outcome)
    if advice.whose_move is not WhoseMove.NOBODY:
        yield f"*Whose move:* {advice.whose_move.words}.\n"
    if advice.next_steps:
        yield "\n".join(f"{number}. {step}" for number, step in enumerate(advice.next_steps, start=1)) + "\n"


def _texts(outcome: Outcome) -> Iterator[str]:
    """A table of the known texts of an outcome; those that differ in their beginning alone share a row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    further = {f"ERR {text}" for text in COMMAND_TEXTS}
    for known in KNOWN_ERRORS:
        if known.outcome is outcome and known.prefix not in further:
            words = " and ".join(f"*{word.replace('|', '* or *')}*" for word in known.words)
            facts = ", ".join(sorted(fact.value.replace("_", " ") for fact in known.facts))
            rows.setdefault((words, facts, known.source), []).append(_beginning(known))
    if rows:
        yield "| error texts that begin with | and hold | tells more | known from |\n| --- | --- | --- | --- |"
    for (words, facts, source), beginnings in rows.items():
        yield f"| {', '.join(beginnings)} | {words} | {facts} | {source} |"
    if outcome is Outcome.COMMAND_ERROR:
        yield f"| `ERR`, and {len(further)} texts about the one command: `ERR syntax error`, … |  |  | Redis |"
    if rows:
        yield ""


def _beginning(known: KnownError) -> str:
    return f"`{known.prefix.replace('#', '…')}`" if known.prefix else "anything"


def _when_it_alerts(family: Family) -> Iterator[str]:
    alerts = AlertSettings()
    rule: InARow | None = getattr(alerts, family.value, None)
    if family is Family.SLOW:
        yield f"A warning opens when {alerts.slow.failures} of the last {alerts.slow.of} checks are slow.\n"
    elif rule is not None and rule.failures == 1:
        yield "An incident opens at the first check.\n"
    elif rule is not None:
        yield f"An incident opens after {rule.failures} of this family in a row.\n"
    elif family.is_failing:
        failing = alerts.failing
        yield (
            f"An incident opens when {failing.failures} checks in a row fail, or as many with one fine check among"
            f" them, and {write_duration(failing.lasting)} lie between the first and the last.\n"
        )
