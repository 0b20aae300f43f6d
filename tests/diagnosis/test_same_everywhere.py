"""A verdict is the same wherever it is shown, whatever layers and database it is of, and after a restart too."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerts import slack, telegram
from monitor.alerts.notification import Notification, NotificationKind, Severity, from_json, to_json
from monitor.alerts.text import LINE_LIMIT, STEP_LIMIT, compose, plain_text
from monitor.checks.observation import NOT_THROUGH, Check, Fact, Family, Outcome, Phases
from monitor.cli.check.output import CheckedDatabase, document, plugin_output
from monitor.cli.doctor import diagnosis_to_json
from monitor.config.settings import Settings
from monitor.diagnosis.advice import Advice, WhoseMove, word
from monitor.diagnosis.rules import exit_status, judge, judge_check, verdict_to_tell
from monitor.diagnosis.verdicts import (
    REST_LAYERS,
    Diagnosis,
    Layer,
    LayerResult,
    LayerResults,
    LayerState,
    Verdict,
    VerdictCode,
    verdict_from_json,
    verdict_to_json,
)
from monitor.incidents.rules import advance
from monitor.incidents.state import Incident, IncidentState, Transition
from monitor.lib.exit_status import ExitStatus
from monitor.report.overview import Archive
from monitor.report.values import advice_values, incident_values
from monitor.report.verdict import verdict_shown
from monitor.store.rollups.model import DatabaseStatus
from monitor.store.store import Store
from monitor.web.api import databases_document
from monitor.web.pages.pages import Pages
from tests.judging import PROFILES, QUICK, explain
from tests.web.made import schedule

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
FAILING = [outcome for outcome in Outcome if outcome.family.is_failing]
# Given without a rule: these say what their outcome says, whichever that is.
OF_AN_OUTCOME = (VerdictCode.AS_THE_OUTCOME_SAYS, VerdictCode.WORKER_FAILS)


@st.composite
def results(draw: st.DrawFn, layer: Layer) -> LayerResult:
    """Any end of a layer, however unlikely."""
    state = draw(st.sampled_from(LayerState))
    is_of_host = layer in (*REST_LAYERS, Layer.WORKER)
    outcome = draw(st.sampled_from(FAILING)) if is_of_host and state is LayerState.FAILED else None
    facts = draw(st.frozensets(st.sampled_from(Fact), max_size=3))
    return LayerResult(layer=layer, state=state, outcome=outcome, facts=facts)


LAYERS = st.tuples(*(results(layer) for layer in Layer)).map(
    lambda found: LayerResults(database="main", layers=found)
)
VERDICTS = [
    Verdict(code=code, outcome=outcome, profile=profile)
    for code in VerdictCode
    for outcome in (Outcome if code in OF_AN_OUTCOME else (Outcome.SERVER_ERROR,))
    for profile in PROFILES
]


def incident_of(verdict: Verdict, cause: Outcome) -> Incident:
    return Incident(
        id=12,
        opened_at=NOW - timedelta(hours=1),
        notified_at=NOW - timedelta(hours=1),
        cause=cause,
        causes=(cause,),
        severity=Severity.CRITICAL,
        checks_failed=3,
        verdict=verdict,
    )


def notification_of(incident: Incident, kind: NotificationKind) -> Notification:
    return Notification(
        kind=kind,
        created_at=NOW,
        database="main",
        incident=incident.id,
        cause=incident.cause,
        causes=incident.causes,
        since=incident.opened_at,
        checks_failed=incident.checks_failed,
        verdict=incident.verdict,
    )


def plain(text: str) -> str:
    """A text as people see it, whatever a channel's markup did to it: one form for quotes and underscores."""
    bare = re.sub(r"<(https?://[^>]*)>", r"\1", text)
    return html.unescape(re.sub(r"</?\w+>", "", bare)).translate(_ONE_FORM)


_ONE_FORM = str.maketrans({"`": "'", "∗": "*", "∼": "~", "＿": "_", "\u2060": None})


def sentences(advice: Advice) -> list[str]:
    return [plain(text) for text in (advice.meaning, *advice.next_steps)]


def slack_text(message: dict[str, Any]) -> list[str]:
    """What Slack shows: the blocks, and by itself the fallback."""
    blocks = [*message["blocks"], *(block for one in message["attachments"] for block in one["blocks"])]
    blocks = [block["text"]["text"] for block in blocks if "text" in block]
    return [plain("\n".join(blocks)), plain(message["text"])]


def assert_told(text: str, advice: Advice) -> None:
    """Every sentence, whole and on a line of its own; whose move it is at the end of the first."""
    move = advice.whose_move.as_move
    assert text.splitlines()[0].endswith(f" · {move}" if move else "")
    lines = [re.sub(r"^\d\. ", "", line) for line in text.splitlines()]
    for sentence in sentences(advice):
        assert sentence in lines, text


def assert_in_messages(verdict: Verdict, incident: Incident) -> None:
    advice = word(verdict)
    for kind in (NotificationKind.OPENED, NotificationKind.CHANGED, NotificationKind.REMINDER):
        notification = notification_of(incident, kind)
        assert from_json(to_json(notification)) == notification
        message = compose(notification)
        assert_told(plain(plain_text(message)), advice)
        assert_told(plain(telegram.as_html(message)), advice)
        for text in slack_text(slack.payload(message)):
            assert_told(text, advice)


def assert_on_pages(verdict: Verdict, incident: Incident) -> None:
    """The front page, its JSON, `incidents --json`, `check --json` and the lines of `check`."""
    advice = word(verdict)
    values = advice_values(advice)
    check = Check(database="main", at=NOW, outcome=incident.cause)
    shown = verdict_shown(check, incident.verdict, replace(verdict.profile, service="other"))
    status = DatabaseStatus(
        database="main", recent=(check,), incident=incident, schedule=schedule(), days=(), verdict=shown
    )
    page = re.sub("</?code>", "`", PAGES.front([status], NOW))
    found = html.unescape(re.sub(r"<[^>]+>", "\n", page))
    lines = [line.strip() for line in found.splitlines()]
    assert advice.meaning in lines
    assert advice.whose_move.words in lines
    steps = re.findall(r"<li>(.*?)</li>", page.partition('class="steps"')[2].partition("</ol>")[0])
    assert [html.unescape(step) for step in steps] == list(advice.next_steps)
    (row,) = databases_document([status], now=NOW, redact=str)["databases"]
    assert values.items() <= row.items()
    assert values.items() <= row["incident"].items()
    assert values.items() <= incident_values(incident, now=NOW).items()
    checked = CheckedDatabase(check=check, verdict=shown, checks=1, slow=None, incident=incident)
    told = document([checked], [], started_at=NOW, took_ms=1.0, status=ExitStatus.CRITICAL)["databases"][0]
    assert values.items() <= told.items()
    output = plugin_output([checked]).splitlines()
    told_lines = [line.strip().removeprefix("- ").removeprefix("main: ") for line in output]
    for sentence in (advice.meaning, f"whose move: {advice.whose_move.words}", *advice.next_steps):
        assert sentence.replace("|", "¦") in told_lines


PAGES = Pages(str, title="")


@given(layers=LAYERS, profile=st.sampled_from(PROFILES), cause=st.sampled_from(FAILING))
def test_a_judged_verdict_is_the_same_everywhere(layers: LayerResults, profile: Any, cause: Outcome) -> None:
    """For any layers of any database: doctor, incident, message, reminder, page, JSON and `check` agree."""
    verdict = judge(layers, profile)
    assert verdict_from_json(verdict_to_json(verdict)) == verdict
    code = {"code": verdict.code.value}
    assert diagnosis_to_json(layers, verdict)["verdict"] == code | advice_values(word(verdict))
    diagnosis = Diagnosis(layers=layers, verdict=verdict)
    # That of the layers where it is one that an incident can have; else any.
    cause = layers.outcome() or cause
    told = verdict_to_tell(diagnosis, cause, explain(cause)) or explain(cause)
    incident = incident_of(told, cause)
    assert_in_messages(told, incident)
    assert_on_pages(told, incident)


@pytest.mark.parametrize("fact", [Fact.KEY_NOT_ALLOWED, Fact.DELETE_NOT_ALLOWED])
def test_what_the_canary_found_of_a_fine_database_is_on_its_page(fact: Fact) -> None:
    """There is no incident, and the page has the doctor's verdict all the same."""
    check = Check(database="main", at=NOW, outcome=Outcome.OK, facts=frozenset({fact}))
    verdict = verdict_shown(check, None, PROFILES[0])
    status = DatabaseStatus(
        database="main", recent=(check,), incident=None, schedule=schedule(), days=(), verdict=verdict
    )
    found = html.unescape(re.sub(r"<[^>]+>", "", PAGES.front([status], NOW)))
    advice = word(verdict)
    assert " ".join((advice.meaning, *advice.next_steps)) in found


@given(layers=LAYERS, profile=st.sampled_from([one for one in PROFILES if not one.is_upstash]))
def test_no_layers_of_anybodys_server_lead_to_upstash(layers: LayerResults, profile: Any) -> None:
    """Not even those that name what a console or a status page says."""
    advice = word(judge(layers, profile))
    for text in (advice.meaning, *advice.next_steps):
        assert not re.search("upstash(?!-monitor)|console|status page|support", text, re.IGNORECASE), text


PASSED, FAILED = LayerState.PASSED, LayerState.FAILED
# What a check can find of itself beside its outcome.
FACTS_OF_CHECKS = [
    *(Fact.PLACEHOLDER, Fact.MASKED, Fact.SWAPPED, Fact.REDIS_PORT_IN_URL),
    *(Fact.TOKEN_OF_ANOTHER_DATABASE, Fact.TOKEN_IS_A_PASSWORD, Fact.USER_MAY_BE_DISABLED, Fact.NAME_FILTERED),
    *(Fact.NOT_TLS, Fact.CERTIFICATE_UNTRUSTED, Fact.CERTIFICATE_OUT_OF_DATE, Fact.CERTIFICATE_OF_ANOTHER_NAME),
    *(Fact.WALL, Fact.PROXY_ASKS_LOGIN, Fact.PORTAL, Fact.BLOCKED_BY_LAW, Fact.REDIRECT_TO_HTTPS, Fact.REDIRECT),
    *(Fact.IPV4_FAILS, Fact.IPV6_FAILS),
    *(Fact.BANDWIDTH, Fact.DAILY_LIMIT, Fact.TOO_LARGE, Fact.NOT_OVER_REST, Fact.UNKNOWN_TEXT),
]
OF_PORT = (Fact.WORKER_NOT_CONNECTED, Fact.WORKER_PORT_ACCEPTS)
LAST_LAYERS = {
    **dict.fromkeys((Outcome.DNS_NOT_FOUND, Outcome.DNS_FAILED), Layer.LOOKUP),
    **dict.fromkeys(
        (Outcome.CONNECTION_REFUSED, Outcome.NETWORK_UNREACHABLE, Outcome.CONNECTION_TIMEOUT), Layer.CONNECTION
    ),
    **dict.fromkeys((Outcome.TLS_TIMEOUT, Outcome.TLS_FAILED), Layer.ENCRYPTION),
    Outcome.TOKEN_REJECTED: Layer.TOKEN,
}


@st.composite
def evidence(draw: st.DrawFn) -> tuple[Check, LayerResults]:
    """What one check can see, as the check has it and as the layers of a doctor who sees the same."""
    outcome = draw(st.sampled_from([Outcome.SLOW, *FAILING]))
    last = LAST_LAYERS.get(outcome, Layer.PING)
    more: set[Fact] = set()
    states: dict[Layer, LayerState] = {}
    if outcome.family is Family.CONFIGURATION:
        last = Layer.CONFIGURATION
    elif outcome is not Outcome.SLOW:
        found_by = [Fact.FOUND_BY_WORKER, *([Fact.FOUND_BY_CANARY] if last is Layer.PING else [])]
        finder = draw(st.sampled_from([None, *found_by]))
        more |= {finder} if finder else set()
        last = {Fact.FOUND_BY_WORKER: Layer.WORKER, Fact.FOUND_BY_CANARY: Layer.WRITING}.get(finder, last)  # type: ignore[arg-type]  # no finder is in no mapping
        worker = draw(st.sampled_from([None, Fact.WORKER_ANSWERS, Fact.WORKER_FAILS_TOO]))
        if worker is not None and last is not Layer.WORKER:
            more.add(worker)
            states[Layer.WORKER] = PASSED if worker is Fact.WORKER_ANSWERS else FAILED
        # Nobody asks the connectivity hosts where anybody was reached.
        if outcome.family is Family.NETWORK and last not in (Layer.WORKER, Layer.WRITING):
            network = draw(st.sampled_from([None, Fact.NETWORK_REACHED, Fact.NOTHING_REACHED]))
            if network is not None and worker is not Fact.WORKER_ANSWERS:
                more.add(network)
                states[Layer.CONNECTIVITY] = PASSED if network is Fact.NETWORK_REACHED else FAILED
    states |= dict.fromkeys(list(Layer)[2 : list(Layer).index(last)], PASSED)
    states[last] = PASSED if outcome is Outcome.SLOW else FAILED
    facts = draw(st.frozensets(st.sampled_from(FACTS_OF_CHECKS), max_size=3))
    at_the_port: frozenset[Fact] = frozenset()
    if last is Layer.CONNECTION:
        of_port = draw(st.sampled_from([None, Fact.WORKER_NOT_CONNECTED, Fact.WORKER_PORT_ACCEPTS]))
        if of_port is not None and Layer.WORKER not in states:
            at_the_port = frozenset({of_port})
            # The doctor goes on from there; how that ends has no part in it, unless all goes well.
            states[Layer.WORKER] = FAILED
    if outcome not in NOT_THROUGH:
        facts -= {Fact.IPV4_FAILS, Fact.IPV6_FAILS}
    if last not in (Layer.CONNECTION, Layer.ENCRYPTION):
        facts -= {Fact.NAME_FILTERED}  # found where nothing could be sent
    connect_ms = 1.0 if states.get(Layer.CONNECTION) is PASSED and last is not Layer.WORKER else None
    check = Check(
        database="main",
        at=NOW,
        outcome=outcome,
        phases=Phases(connect=connect_ms),
        facts=facts.union(more, at_the_port),
    )
    results = (
        LayerResult(layer=layer, state=states[layer], outcome=outcome, facts=facts)
        if layer is last
        else LayerResult(
            layer=layer, state=states[layer], facts=at_the_port if layer is Layer.WORKER else frozenset()
        )
        for layer in Layer
        if layer in states
    )
    return check, LayerResults(database="main", layers=tuple(results))


@given(seen=evidence(), profile=st.sampled_from(PROFILES))
def test_a_check_and_the_doctor_come_to_one_verdict_by_the_same_evidence(
    seen: tuple[Check, LayerResults], profile: Any
) -> None:
    """What was seen decides, and not who saw it: code, words and exit status are the same."""
    check, layers = seen
    alone, examined = judge_check(check, profile), judge(layers, profile)
    assert (alone.code, word(alone)) == (examined.code, word(examined))
    assert status_of(check, alone) is exit_status(examined)


@given(
    outcome=st.sampled_from([one for one in Outcome if one.family is Family.NETWORK]),
    worker=st.sampled_from([None, *(frozenset({fact}) for fact in OF_PORT)]),
    profile=st.sampled_from(PROFILES),
)
def test_an_offline_check_and_the_doctor_come_to_one_verdict(
    outcome: Outcome, worker: frozenset[Fact] | None, profile: Any
) -> None:
    """The connectivity hosts answered today and do not now, whether or not a connection stood before all ended."""
    last = LAST_LAYERS.get(outcome, Layer.PING)
    lately = frozenset({Fact.ANSWERED_LATELY})
    found = [
        LayerResult(layer=Layer.CONNECTIVITY, state=FAILED, facts=lately),
        *(LayerResult(layer=layer, state=PASSED) for layer in list(Layer)[2 : list(Layer).index(last)]),
        LayerResult(layer=last, state=FAILED, outcome=outcome),
        *([] if worker is None else [LayerResult(layer=Layer.WORKER, state=FAILED, facts=worker)]),
    ]
    layers = LayerResults(database="main", layers=tuple(one for one in found if one.layer is not Layer.TOKEN))
    alone = judge_check(Check(database="main", at=NOW, outcome=Outcome.OFFLINE), profile)
    examined = judge(layers, profile)
    assert (alone.code, word(alone)) == (examined.code, word(examined))
    assert exit_status(examined) is exit_status(alone) is ExitStatus.UNKNOWN


def status_of(check: Check, verdict: Verdict) -> ExitStatus:
    """With which `check` ends for it."""
    return CheckedDatabase(check=check, verdict=verdict, checks=1, slow=None, incident=None).status


def test_what_a_fine_check_found_is_told_below_its_line() -> None:
    """A certificate that ends soon is a warning of the doctor's; a check tells it and ends with 0."""
    check = Check(database="main", at=NOW, outcome=Outcome.OK, facts=frozenset({Fact.CERTIFICATE_ENDS_SOON}))
    verdict = judge_check(check, PROFILES[0])
    checked = CheckedDatabase(check=check, verdict=verdict, checks=1, slow=None, incident=None)
    first, *more = plugin_output([checked]).splitlines()
    assert first.startswith("OK - ")
    assert more[0] == f"main: {word(verdict).meaning}"
    assert (status_of(check, verdict), exit_status(verdict)) == (ExitStatus.OK, ExitStatus.WARNING)


def test_every_verdict_fits_into_a_message() -> None:
    """At most 120 characters for the meaning and for each of three steps; a step where somebody has the move."""
    for verdict in VERDICTS:
        advice = word(verdict)
        # What only a canary meets, or what would keep REST from working too, no worker's connection ends in.
        is_possible = verdict.code is not VerdictCode.WORKER_FAILS or verdict.outcome not in NOT_A_WORKERS
        assert len(advice.meaning) <= 120 or not is_possible, advice.meaning
        assert advice.meaning.endswith("."), advice.meaning
        assert len(advice.next_steps) <= 3
        for step in advice.next_steps:
            assert len(step) <= 120, step
            assert step.endswith((".", "?")), step
        assert advice.next_steps or advice.whose_move is WhoseMove.NOBODY, verdict


NOT_A_WORKERS = {Outcome.DNS_NOT_FOUND, Outcome.STALE_READ, Outcome.OFFLINE}


def test_long_names_are_not_cut_off() -> None:
    """Names are people's own; sentences that hold them still stay below the limits of a message."""
    for verdict in VERDICTS:
        profile = verdict.profile
        long = replace(
            profile,
            database="d" * 60,
            service=profile.service and "s" * 32,
            url_variable=profile.url_variable and "PRODUCTION_SESSIONS_CACHE_REDIS_REST_URL",
            token_variable=profile.token_variable and "PRODUCTION_SESSIONS_CACHE_REDIS_REST_TOKEN",
        )
        advice = word(replace(verdict, profile=long))
        assert len(advice.meaning) <= LINE_LIMIT
        for step in advice.next_steps:
            assert len(step) <= STEP_LIMIT, step


def test_a_verdict_outlasts_a_restart(tmp_path: Path) -> None:
    """Opened, reminded of, and read again by another process: every verdict of every code is what was told."""
    told = {
        code.value: Verdict(code=code, outcome=FAILING[number % len(FAILING)], profile=PROFILES[7 * number % 288])
        for number, code in enumerate(VerdictCode)
    }
    now = NOW

    def open_store() -> Store:
        return Store(tmp_path / "history.db", channels=("log",), log=lambda *_: None, clock=lambda: now)

    store = open_store()
    for minutes in (0, 1, 2, 3, 70):
        now = NOW + timedelta(minutes=minutes)
        if minutes == 70:
            store.close()
            store = open_store()
        for name, verdict in told.items():
            check = Check(database=name, at=now, outcome=verdict.outcome or Outcome.SERVER_ERROR)
            store.record(check, judged(check, verdict), interval=timedelta(minutes=1))
    sent: list[Notification] = []
    while (delivery := store.claim("log", now)) is not None:
        sent.append(delivery.notification)
    assert {one.database for one in sent} == set(told)
    assert all(one.verdict == told[one.database or ""] for one in sent)
    assert {name: incident.verdict for name, incident in store.incidents()} == told
    assert {name: store.state(name).incident.verdict for name in told} == told  # type: ignore[union-attr]  # they are open
    databases = [{"name": name, "url": "https://merry-cat.upstash.io", "token": "t"} for name in told]
    archive = Archive(Settings.model_validate({"databases": databases}), file=store, clock=lambda: now)
    for status in map(archive.status, told):
        assert status.incident is not None
        assert status.incident.verdict == told[status.database]
        assert status.verdict == told[status.database]
    store.close()


REJECTED = LayerResults(
    database="main",
    layers=(
        LayerResult(layer=Layer.TOKEN, state=LayerState.FAILED, outcome=Outcome.TOKEN_REJECTED),
        LayerResult(layer=Layer.WORKER, state=LayerState.PASSED),
    ),
)


@pytest.mark.parametrize("is_sent_before", [False, True])
def test_the_incident_has_the_verdict_that_its_message_has(tmp_path: Path, *, is_sent_before: bool) -> None:
    """The doctor's, where he was done in time; where the message went without it, that of the check."""
    now, hold = NOW, timedelta(seconds=10)
    store = Store(tmp_path / "history.db", channels=("log",), log=lambda *_: None, clock=lambda: now)
    alone = explain(Outcome.TOKEN_REJECTED)
    for seconds in (0, 1):
        check = Check(database="main", at=NOW + timedelta(seconds=seconds), outcome=Outcome.TOKEN_REJECTED)
        store.record(check, judged(check, alone), interval=timedelta(minutes=1), hold=hold)
    now += hold
    early = store.claim("log", now) if is_sent_before else None
    store.release(1, Diagnosis(layers=REJECTED, verdict=judge(REJECTED, alone.profile)))
    delivery = early or store.claim("log", now)
    assert delivery is not None
    assert delivery.notification.verdict is not None
    expected = VerdictCode.AS_THE_OUTCOME_SAYS if is_sent_before else VerdictCode.REST_TOKEN_WRONG
    assert delivery.notification.verdict.code is expected
    ((_, incident),) = store.incidents()
    assert incident.verdict == delivery.notification.verdict
    store.close()


def test_all_channels_tell_the_same_of_an_incident(tmp_path: Path) -> None:
    """Where one has begun to send before the doctor was done, the other tells no more, nor does the page."""
    now, hold = NOW, timedelta(seconds=10)
    store = Store(tmp_path / "history.db", channels=("log", "slack"), log=lambda *_: None, clock=lambda: now)
    alone = explain(Outcome.TOKEN_REJECTED)
    for seconds in (0, 1):
        check = Check(database="main", at=NOW + timedelta(seconds=seconds), outcome=Outcome.TOKEN_REJECTED)
        store.record(check, judged(check, alone), interval=timedelta(minutes=1), hold=hold)
    now += hold
    first = store.claim("log", now)
    store.release(1, Diagnosis(layers=REJECTED, verdict=judge(REJECTED, alone.profile)))
    second = store.claim("slack", now)
    assert first is not None
    assert second is not None
    ((_, incident),) = store.incidents()
    assert first.notification.verdict == second.notification.verdict == incident.verdict == alone
    store.close()


def judged(check: Check, verdict: Verdict) -> Callable[[IncidentState, int], Transition]:
    """What the check leads to, whose incident gets this verdict."""
    return lambda state, number: advance(state, check, QUICK, next_incident=number, explain=lambda _cause: verdict)
