"""Every rule of the verdicts, reached by layers that are written out; tests/doctor has real servers."""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest

import monitor.diagnosis
from monitor.checks.observation import Check, Fact, Outcome
from monitor.config.settings import DatabaseSettings, DoctorSettings
from monitor.diagnosis.advice import WhoseMove, advise, word
from monitor.diagnosis.rules import exit_status, judge, judge_check, verdict_to_tell
from monitor.diagnosis.verdicts import (
    REST_LAYERS,
    DatabaseProfile,
    Diagnosis,
    HostKind,
    Layer,
    LayerResult,
    LayerResults,
    LayerState,
    Platform,
    Verdict,
    VerdictCode,
    blocked_by,
    host_kind,
    profile_of,
)
from monitor.lib.exit_status import ExitStatus
from tests.judging import PROFILE, PROFILES

GOOD = dict.fromkeys((Layer.CONNECTIVITY, *REST_LAYERS, Layer.WORKER, Layer.STATUS_PAGE), LayerState.PASSED)


def layers(
    stopped: Layer | None = None,
    outcome: Outcome | None = None,
    *,
    facts: tuple[Fact, ...] = (),
    worker: LayerState = LayerState.PASSED,
    our_network: LayerState = LayerState.PASSED,
    billed: LayerState = LayerState.PASSED,
    elsewhere: LayerState = LayerState.PASSED,
) -> LayerResults:
    """Layers that passed up to `stopped`, which failed with `outcome`; what needs it is skipped.

    `elsewhere` is how reading the status page and the console ended.
    """
    layers: list[LayerResult] = []
    states = {Layer.WORKER: worker, Layer.CONNECTIVITY: our_network, Layer.READING: billed, Layer.WRITING: billed}
    states[Layer.STATUS_PAGE] = elsewhere
    for layer, state in {**GOOD, **states}.items():
        if layer is stopped:
            layers.append(LayerResult(layer=layer, state=LayerState.FAILED, outcome=outcome))
        elif layer is not Layer.WORKER and blocked_by(layer, layers) is not None:
            layers.append(LayerResult(layer=layer, state=LayerState.SKIPPED))
        else:
            layers.append(LayerResult(layer=layer, state=state))
    layers.append(LayerResult(layer=Layer.CONSOLE, state=elsewhere, facts=frozenset(facts)))
    return LayerResults(database="main", layers=tuple(layers))


def without_token(
    outcome: Outcome, *, facts: tuple[Fact, ...], worker: LayerState = LayerState.PASSED
) -> LayerResults:
    """PING failed with this, and nothing was said about the token."""
    found = layers(Layer.PING, outcome, facts=facts, worker=worker)
    results = (
        replace(result, state=LayerState.UNKNOWN) if result.layer is Layer.TOKEN else result
        for result in found.layers
    )
    return replace(found, layers=tuple(results))


def with_fact(found: LayerResults, fact: Fact) -> LayerResults:
    """The same layers, with a fact that the layer of the token found."""
    results = (
        replace(result, facts=frozenset({fact})) if result.layer is Layer.TOKEN else result
        for result in found.layers
    )
    return replace(found, layers=tuple(results))


FAILED, UNKNOWN = LayerState.FAILED, LayerState.UNKNOWN
BROKEN = (Layer.PING, Outcome.SERVER_ERROR)
REJECTED = (Layer.TOKEN, Outcome.TOKEN_REJECTED)
TIMED_OUT = (Layer.CONNECTION, Outcome.CONNECTION_TIMEOUT)
REFUSED = (Layer.CONNECTION, Outcome.CONNECTION_REFUSED)
SILENT = (Layer.HTTP, Outcome.RESPONSE_TIMEOUT)
MET, UNMET, LATELY = (Fact.WORKER_PORT_ACCEPTS,), (Fact.WORKER_NOT_CONNECTED,), (Fact.ANSWERED_LATELY,)
ROWS: list[tuple[LayerResults, VerdictCode]] = [
    (
        layers(Layer.LOOKUP, Outcome.DNS_FAILED, our_network=FAILED, worker=FAILED, elsewhere=UNKNOWN),
        VerdictCode.OFFLINE,
    ),
    (layers(*TIMED_OUT, our_network=FAILED, worker=FAILED, elsewhere=UNKNOWN), VerdictCode.OFFLINE),
    # Somebody answered, so our network is there: what fails is between us and the host, or the host.
    (layers(*TIMED_OUT, our_network=FAILED, facts=UNMET, worker=FAILED), VerdictCode.BLOCKED_OR_DOWN),
    (layers(*TIMED_OUT, our_network=FAILED, elsewhere=UNKNOWN), VerdictCode.AS_THE_OUTCOME_SAYS),
    (layers(*BROKEN, our_network=FAILED, worker=FAILED, elsewhere=UNKNOWN), VerdictCode.AS_THE_OUTCOME_SAYS),
    (
        layers(Layer.CONFIGURATION, Outcome.TOKEN_MISSING, facts=(Fact.WORKER_VARIABLE_STAGED,)),
        VerdictCode.VARIABLE_STAGED,
    ),
    (layers(Layer.CONFIGURATION, Outcome.URL_MISSING, worker=FAILED), VerdictCode.VARIABLE_MISSING),
    (layers(Layer.CONFIGURATION, Outcome.TOKEN_MALFORMED), VerdictCode.REST_VALUE_MANGLED),
    (layers(Layer.CONFIGURATION, Outcome.TOKEN_MALFORMED, worker=FAILED), VerdictCode.VALUE_MALFORMED),
    (layers(Layer.CONFIGURATION, Outcome.URL_MALFORMED, worker=FAILED), VerdictCode.VALUE_MALFORMED),
    (
        layers(
            *REJECTED, facts=(Fact.WORKER_VARIABLE_IS_THE_CONSOLES, Fact.WORKER_VARIABLE_STAGED), worker=FAILED
        ),
        VerdictCode.NEW_TOKEN_NOT_DEPLOYED,
    ),
    (
        layers(*REJECTED, facts=(Fact.CONSOLE_TOKEN_DIFFERS, Fact.WORKER_VARIABLE_IS_THE_CONSOLES), worker=FAILED),
        VerdictCode.MONITOR_HAS_AN_OLD_TOKEN,
    ),
    (layers(*REJECTED, facts=(Fact.CONSOLE_TOKEN_DIFFERS,), worker=FAILED), VerdictCode.WORKER_HAS_AN_OLD_TOKEN),
    (layers(*REJECTED, facts=(Fact.CONSOLE_TOKEN_IS_OURS,), worker=FAILED), VerdictCode.CONSOLE_TOKEN_REFUSED),
    (
        layers(*REJECTED, facts=(Fact.TOKEN_OF_ANOTHER_DATABASE,), worker=FAILED),
        VerdictCode.TOKEN_OF_ANOTHER_DATABASE,
    ),
    (layers(*REJECTED, facts=(Fact.TOKEN_IS_A_PASSWORD,)), VerdictCode.TOKEN_IS_A_PASSWORD),
    (layers(*REJECTED), VerdictCode.REST_TOKEN_WRONG),
    (layers(*REJECTED, worker=FAILED), VerdictCode.TOKEN_STALE),
    (
        layers(Layer.LOOKUP, Outcome.DNS_NOT_FOUND, facts=(Fact.CONSOLE_HAS_NO_SUCH_DATABASE,), worker=FAILED),
        VerdictCode.DATABASE_GONE,
    ),
    (layers(Layer.LOOKUP, Outcome.DNS_NOT_FOUND, worker=FAILED), VerdictCode.AS_THE_OUTCOME_SAYS),
    (layers(Layer.PING, Outcome.SUSPENDED), VerdictCode.SUSPENDED),
    (layers(Layer.WRITING, Outcome.QUOTA_EXCEEDED), VerdictCode.QUOTA_BEHIND_PING),
    (
        layers(facts=(Fact.CONSOLE_COMMANDS_USED_UP,), billed=LayerState.NOT_APPLICABLE),
        VerdictCode.QUOTA_BEHIND_PING,
    ),
    (layers(facts=(Fact.CONSOLE_COMMANDS_USED_UP,)), VerdictCode.ALL_GOOD),
    (layers(Layer.PING, Outcome.QUOTA_EXCEEDED), VerdictCode.AS_THE_OUTCOME_SAYS),
    (layers(Layer.WRITING, Outcome.CAPACITY_FULL), VerdictCode.DATABASE_FULL),
    (layers(facts=(Fact.CONSOLE_STORAGE_FULL,), billed=LayerState.NOT_APPLICABLE), VerdictCode.DATABASE_FULL),
    (layers(facts=(Fact.CONSOLE_STORAGE_FULL,)), VerdictCode.ALL_GOOD),
    (layers(Layer.WRITING, Outcome.PERMISSION_DENIED), VerdictCode.TOKEN_READ_ONLY),
    (
        layers(Layer.WRITING, Outcome.PERMISSION_DENIED, facts=(Fact.WORKER_AS_READ_ONLY,), worker=FAILED),
        VerdictCode.WORKER_READ_ONLY,
    ),
    (layers(Layer.PING, Outcome.PERMISSION_DENIED), VerdictCode.AS_THE_OUTCOME_SAYS),
    (layers(Layer.HTTP, Outcome.SERVER_ERROR, facts=(Fact.TROUBLE_POSTED,)), VerdictCode.PROVIDER_TROUBLE),
    (layers(*TIMED_OUT, facts=(Fact.CONSOLE_ALLOWLIST,), worker=FAILED), VerdictCode.ADDRESS_NOT_ALLOWED),
    (layers(*TIMED_OUT, facts=UNMET, worker=FAILED), VerdictCode.BLOCKED_OR_DOWN),
    (layers(*REFUSED, facts=UNMET, worker=FAILED), VerdictCode.BLOCKED_OR_DOWN),
    # A connection stood on the worker's port: then the host is there, and the port in the URL may be wrong.
    (layers(*REFUSED, facts=MET, worker=FAILED), VerdictCode.AS_THE_OUTCOME_SAYS),
    (layers(*TIMED_OUT, facts=MET, worker=FAILED), VerdictCode.AS_THE_OUTCOME_SAYS),
    # A connection that stood shows that our network is there, unless others fell silent with it.
    (layers(*SILENT, our_network=FAILED, worker=FAILED, elsewhere=UNKNOWN), VerdictCode.AS_THE_OUTCOME_SAYS),
    (layers(*SILENT, our_network=FAILED, facts=LATELY, worker=FAILED, elsewhere=UNKNOWN), VerdictCode.OFFLINE),
    (layers(*SILENT, our_network=FAILED, facts=LATELY, worker=FAILED), VerdictCode.AS_THE_OUTCOME_SAYS),
    (
        layers(*BROKEN, our_network=FAILED, facts=LATELY, worker=FAILED, elsewhere=UNKNOWN),
        VerdictCode.AS_THE_OUTCOME_SAYS,
    ),
    (layers(Layer.ENCRYPTION, Outcome.TLS_FAILED, worker=FAILED), VerdictCode.AS_THE_OUTCOME_SAYS),
    (layers(Layer.HTTP, Outcome.NOT_UPSTASH, worker=FAILED), VerdictCode.AS_THE_OUTCOME_SAYS),
    (layers(facts=(Fact.CONSOLE_HAS_NO_SUCH_DATABASE,)), VerdictCode.OTHER_DATABASE),
    (layers(facts=(Fact.WORKER_VARIABLE_MISSING,)), VerdictCode.WORKER_VARIABLE_MISSING),
    (layers(facts=(Fact.WORKER_VARIABLE_STAGED,)), VerdictCode.NEW_TOKEN_NOT_DEPLOYED),
    (layers(facts=(Fact.WORKER_VARIABLE_DIFFERS,)), VerdictCode.WORKER_VALUE_DIFFERS),
    (layers(facts=(Fact.WORKER_VARIABLE_DIFFERS, Fact.WORKER_VARIABLE_STAGED)), VerdictCode.WORKER_VALUE_DIFFERS),
    (layers(facts=(Fact.WORKER_ON_LEGACY_PORT,)), VerdictCode.WORKER_LEGACY_PORT),
    (
        layers(facts=(Fact.WORKER_AUTH_REJECTED, Fact.WORKER_AS_READ_ONLY), worker=FAILED),
        VerdictCode.WORKER_READ_ONLY,
    ),
    (
        layers(facts=(Fact.WORKER_AUTH_REJECTED, Fact.TOKEN_IS_READ_ONLY), worker=FAILED),
        VerdictCode.WORKER_URL_WRONG,
    ),
    (layers(facts=(Fact.WORKER_URL_BROKEN,), worker=FAILED), VerdictCode.WORKER_URL_BROKEN),
    (layers(facts=(Fact.WORKER_AUTH_REJECTED,), worker=FAILED), VerdictCode.WORKER_URL_WRONG),
    (layers(facts=(Fact.WORKER_NOT_CONNECTED,), worker=FAILED), VerdictCode.WORKER_PORT_BLOCKED),
    (layers(), VerdictCode.ALL_GOOD),
    (LayerResults(database="main", layers=()), VerdictCode.NOT_KNOWN),
    (layers(Layer.CONFIGURATION, Outcome.URL_MALFORMED, facts=(Fact.SWAPPED,)), VerdictCode.VALUES_SWAPPED),
    (
        layers(Layer.CONFIGURATION, Outcome.TOKEN_MALFORMED, facts=(Fact.PLACEHOLDER,)),
        VerdictCode.VALUE_IS_A_PLACEHOLDER,
    ),
    (layers(Layer.CONFIGURATION, Outcome.TOKEN_MALFORMED, facts=(Fact.MASKED,)), VerdictCode.VALUE_IS_MASKED),
    (
        layers(Layer.CONFIGURATION, Outcome.URL_MALFORMED, facts=(Fact.REDIS_PORT_IN_URL,)),
        VerdictCode.REDIS_PORT_IN_URL,
    ),
    # An ACL user's token differs from the console's by design: to copy that one would give away full rights.
    (
        with_fact(
            layers(*REJECTED, facts=(Fact.CONSOLE_TOKEN_DIFFERS,), worker=FAILED), Fact.USER_MAY_BE_DISABLED
        ),
        VerdictCode.ACL_USER_DISABLED,
    ),
    (
        layers(facts=(Fact.CONSOLE_TOKEN_DIFFERS, Fact.WORKER_AUTH_REJECTED), worker=FAILED),
        VerdictCode.ACL_USER_TOKEN,
    ),
    (layers(facts=(Fact.CONSOLE_TOKEN_DIFFERS,)), VerdictCode.ALL_GOOD),
    # A token that works is never to be replaced, whatever the console has.
    (
        layers(*REJECTED, facts=(Fact.CONSOLE_TOKEN_DIFFERS, Fact.WORKER_HAS_ANOTHER_TOKEN), worker=FAILED),
        VerdictCode.WORKER_TOKEN_WORKS,
    ),
    (
        layers(facts=(Fact.WORKER_USER_MAY_BE_DISABLED, Fact.WORKER_VARIABLE_DIFFERS)),
        VerdictCode.WORKER_USER_DISABLED,
    ),
    (
        layers(facts=(Fact.CONSOLE_SUSPENDED, Fact.CONSOLE_BANDWIDTH_USED_UP)),
        VerdictCode.SUSPENDED_FOR_BANDWIDTH,
    ),
    (layers(*REJECTED, facts=(Fact.CONSOLE_HIDES_TOKEN,), worker=FAILED), VerdictCode.CONSOLE_HIDES_TOKEN),
    (
        layers(Layer.CONNECTION, Outcome.CONNECTION_REFUSED, facts=(Fact.NAME_FILTERED,), worker=FAILED),
        VerdictCode.NAME_FILTERED,
    ),
    (layers(Layer.PING, Outcome.SUSPENDED, facts=(Fact.BANDWIDTH,)), VerdictCode.SUSPENDED_FOR_BANDWIDTH),
    (layers(Layer.PING, Outcome.QUOTA_EXCEEDED, facts=(Fact.BANDWIDTH,)), VerdictCode.BANDWIDTH_USED_UP),
    (layers(Layer.PING, Outcome.QUOTA_EXCEEDED, facts=(Fact.DAILY_LIMIT,)), VerdictCode.DAILY_LIMIT_REACHED),
    # Our own route is nobody's outage, whatever the status page says of others.
    (layers(Layer.CONNECTION, Outcome.NETWORK_UNREACHABLE, worker=FAILED), VerdictCode.NO_ROUTE),
    (
        layers(Layer.CONNECTION, Outcome.NETWORK_UNREACHABLE, facts=(Fact.TROUBLE_POSTED,), worker=FAILED),
        VerdictCode.NO_ROUTE,
    ),
    (layers(Layer.PING, Outcome.TLS_TIMEOUT, facts=(Fact.IPV6_FAILS,)), VerdictCode.ONE_FAMILY_FAILS),
    # Kept out by silence, by a reset, by a page: with an allowlist it is one verdict.
    *(
        (without_token(outcome, facts=(Fact.CONSOLE_ALLOWLIST,), worker=FAILED), VerdictCode.ADDRESS_NOT_ALLOWED)
        for outcome in (Outcome.CONNECTION_LOST, Outcome.ACCESS_DENIED, Outcome.RESPONSE_TIMEOUT)
    ),
    # It keeps nobody out whom the same database let in, over rediss:// or for a PING before.
    *(
        (without_token(outcome, facts=(Fact.CONSOLE_ALLOWLIST,)), VerdictCode.AS_THE_OUTCOME_SAYS)
        for outcome in (Outcome.CONNECTION_LOST, Outcome.ACCESS_DENIED, Outcome.RESPONSE_TIMEOUT)
    ),
    (
        layers(Layer.WRITING, Outcome.RESPONSE_TIMEOUT, facts=(Fact.CONSOLE_ALLOWLIST,), worker=FAILED),
        VerdictCode.AS_THE_OUTCOME_SAYS,
    ),
    (layers(Layer.ENCRYPTION, Outcome.TLS_FAILED, facts=(Fact.NOT_TLS,)), VerdictCode.NOT_TLS),
    (
        layers(Layer.ENCRYPTION, Outcome.TLS_FAILED, facts=(Fact.CERTIFICATE_UNTRUSTED,)),
        VerdictCode.CERTIFICATE_UNTRUSTED,
    ),
    (
        layers(Layer.ENCRYPTION, Outcome.TLS_FAILED, facts=(Fact.CERTIFICATE_OUT_OF_DATE,)),
        VerdictCode.CERTIFICATE_OUT_OF_DATE,
    ),
    (
        layers(Layer.ENCRYPTION, Outcome.TLS_FAILED, facts=(Fact.CERTIFICATE_OF_ANOTHER_NAME,)),
        VerdictCode.CERTIFICATE_OF_ANOTHER_NAME,
    ),
    (layers(Layer.PING, Outcome.ACCESS_DENIED, facts=(Fact.PROXY_ASKS_LOGIN,)), VerdictCode.PROXY_ASKS_LOGIN),
    (layers(Layer.PING, Outcome.ACCESS_DENIED, facts=(Fact.PORTAL,)), VerdictCode.PORTAL),
    (layers(Layer.PING, Outcome.ACCESS_DENIED, facts=(Fact.BLOCKED_BY_LAW,)), VerdictCode.BLOCKED_BY_LAW),
    (layers(Layer.PING, Outcome.ACCESS_DENIED, worker=FAILED), VerdictCode.AS_THE_OUTCOME_SAYS),
    (layers(Layer.PING, Outcome.NOT_UPSTASH, facts=(Fact.REDIRECT_TO_HTTPS,)), VerdictCode.REDIRECT_TO_HTTPS),
    (layers(Layer.PING, Outcome.NOT_UPSTASH, facts=(Fact.REDIRECT,)), VerdictCode.REDIRECT),
    (layers(Layer.PING, Outcome.NOT_UPSTASH, facts=(Fact.WALL,)), VerdictCode.LOGIN_WALL),
    (layers(Layer.PING, Outcome.COMMAND_ERROR, facts=(Fact.TOO_LARGE,)), VerdictCode.REQUEST_TOO_LARGE),
    (layers(Layer.PING, Outcome.COMMAND_ERROR, facts=(Fact.NOT_OVER_REST,)), VerdictCode.COMMAND_NOT_OVER_REST),
    (layers(Layer.PING, Outcome.COMMAND_ERROR, facts=(Fact.UNKNOWN_TEXT,)), VerdictCode.ERROR_UNKNOWN),
    (layers(facts=(Fact.WORKER_NOT_ENCRYPTED,), worker=FAILED), VerdictCode.WORKER_NOT_ENCRYPTED),
    (layers(facts=(Fact.WORKER_NOT_ENCRYPTED, Fact.NOT_TLS), worker=FAILED), VerdictCode.WORKER_NOT_TLS),
    (layers(facts=(Fact.KEY_NOT_ALLOWED,)), VerdictCode.CANARY_KEY_NOT_ALLOWED),
    (layers(facts=(Fact.DELETE_NOT_ALLOWED,)), VerdictCode.CANARY_CANNOT_DELETE),
    (layers(facts=(Fact.CERTIFICATE_ENDS_SOON,)), VerdictCode.CERTIFICATE_ENDS_SOON),
]
UNKNOWN_NAME = layers(Layer.LOOKUP, Outcome.DNS_NOT_FOUND, worker=FAILED)
OFFLINE = layers(*TIMED_OUT, our_network=FAILED, worker=FAILED, elsewhere=UNKNOWN)
INSIDE_RAILWAY = replace(PROFILE, host_kind=HostKind.RAILWAY_PRIVATE, platform=Platform.RAILWAY)
# Where what is known of the database decides as well.
ROWS_BY_PROFILE: list[tuple[DatabaseProfile, LayerResults, VerdictCode]] = [
    (replace(PROFILE, host_kind=HostKind.RAILWAY_PRIVATE), UNKNOWN_NAME, VerdictCode.PRIVATE_NAME),
    (replace(PROFILE, host_kind=HostKind.FLY_PRIVATE), UNKNOWN_NAME, VerdictCode.PRIVATE_NAME),
    (replace(PROFILE, host_kind=HostKind.UPSTASH_ON_FLY), layers(*TIMED_OUT), VerdictCode.PRIVATE_NAME),
    (replace(PROFILE, host_kind=HostKind.PRIVATE), UNKNOWN_NAME, VerdictCode.PRIVATE_NAME),
    # A name of a network of one's own that leads somewhere, and the platform's own name seen from inside of it.
    (replace(PROFILE, host_kind=HostKind.PRIVATE), layers(*TIMED_OUT), VerdictCode.AS_THE_OUTCOME_SAYS),
    (INSIDE_RAILWAY, layers(*TIMED_OUT), VerdictCode.AS_THE_OUTCOME_SAYS),
    (INSIDE_RAILWAY, UNKNOWN_NAME, VerdictCode.PRIVATE_NAME),
    (replace(INSIDE_RAILWAY, platform=Platform.OTHER), layers(*TIMED_OUT), VerdictCode.PRIVATE_NAME),
    (replace(PROFILE, host_kind=HostKind.VERCEL_KV), UNKNOWN_NAME, VerdictCode.KV_NAME_GONE),
    (replace(PROFILE, proxy_variable="HTTPS_PROXY"), OFFLINE, VerdictCode.PROXY_NEEDED),
    (
        replace(PROFILE, host_kind=HostKind.OTHER),
        layers(*TIMED_OUT, worker=LayerState.NOT_APPLICABLE),
        VerdictCode.BLOCKED_OR_DOWN,
    ),
]


@pytest.mark.parametrize(
    ("found", "code"), ROWS, ids=[f"{number}-{row[1].value}" for number, row in enumerate(ROWS)]
)
def test_layers_get_the_verdict_of_their_combination(found: LayerResults, code: VerdictCode) -> None:
    """Not the first error alone decides, but which layers failed together and what the other sources know."""
    assert judge(found, PROFILE).code is code


@pytest.mark.parametrize(
    ("profile", "found", "code"),
    ROWS_BY_PROFILE,
    ids=[f"{n}-{row[2].value}" for n, row in enumerate(ROWS_BY_PROFILE)],
)
def test_what_is_known_of_the_database_decides_too(
    profile: DatabaseProfile, found: LayerResults, code: VerdictCode
) -> None:
    """A private name that does not resolve is no deleted database, and a proxy's variable explains a silence."""
    assert judge(found, profile).code is code


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("us1-merry-cat-32242.upstash.io", HostKind.UPSTASH),
        ("GLAD-CAT-12345.UPSTASH.IO.", HostKind.UPSTASH),
        ("console.upstash.com", HostKind.UPSTASH),
        ("evil-upstash.io", HostKind.OTHER),
        ("upstash.io.example.com", HostKind.OTHER),
        ("fly-shy-sun-123.upstash.io", HostKind.UPSTASH_ON_FLY),
        ("x.kv.vercel-storage.com", HostKind.VERCEL_KV),
        ("redis.railway.internal", HostKind.RAILWAY_PRIVATE),
        ("my-redis.flycast", HostKind.FLY_PRIVATE),
        ("host.docker.internal", HostKind.PRIVATE),
        ("ip-10-0-0-1.ec2.internal", HostKind.PRIVATE),
        ("redis.default.svc.cluster.local", HostKind.PRIVATE),
        ("serverless-redis-http", HostKind.PRIVATE),
        ("192.168.1.5", HostKind.OTHER),
        ("redis.example.com", HostKind.OTHER),
    ],
)
def test_a_host_is_of_the_kind_that_its_name_says(host: str, kind: HostKind) -> None:
    """Only Fly's own names are Fly's, only Upstash's are Upstash's."""
    assert host_kind(f"https://{host}", DoctorSettings()) is kind


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.DNS_NOT_FOUND])
def test_a_name_of_vercels_is_not_looked_up_in_upstashs_console(outcome: Outcome) -> None:
    """No account of Upstash's lists it: its values stand on the project's page at Vercel."""
    for step in advise(outcome, replace(PROFILE, host_kind=HostKind.VERCEL_KV)).next_steps:
        assert not re.search("(?:page|database) in the Upstash console", step)


def test_on_railways_private_network_a_server_listens_on_ipv6() -> None:
    """The name resolves there and the port refuses: to run the monitor inside would be no help."""
    refused = judge(layers(Layer.CONNECTION, Outcome.CONNECTION_REFUSED), INSIDE_RAILWAY)
    steps = word(refused).next_steps
    assert any("IPv6" in step for step in steps)
    assert not any("Run the monitor" in step for step in steps)


@pytest.mark.parametrize(
    ("url", "set_variable", "told"),
    [
        ("https://redis.example.com", "HTTPS_PROXY", "HTTPS_PROXY"),
        ("https://redis.example.com", "all_proxy", "all_proxy"),
        ("https://redis.example.com", "HTTP_PROXY", ""),
        ("http://redis.example.com:8079", "HTTP_PROXY", "HTTP_PROXY"),
        ("http://redis.example.com:8079", "http_proxy", "http_proxy"),
    ],
)
def test_a_proxys_variable_is_one_that_other_clients_would_use(url: str, set_variable: str, told: str) -> None:
    """HTTP_PROXY is for http:// alone."""
    database = DatabaseSettings.model_validate({"name": "main", "url": url, "token": "AXtoken-0f_the_tests"})
    environ = {set_variable: "http://proxy:3128"}
    assert profile_of(database, DoctorSettings(), environ).proxy_variable == told


def test_a_proxys_variable_explains_a_silence_only_where_nobody_else_answers() -> None:
    """It is set on many machines: a database that is down while others answer, or did today, needs no proxy."""
    profile = replace(PROFILE, proxy_variable="HTTPS_PROXY")
    check = Check(database="main", at=datetime(2026, 11, 23, tzinfo=UTC), outcome=Outcome.CONNECTION_TIMEOUT)
    assert judge_check(check, profile).code is VerdictCode.AS_THE_OUTCOME_SAYS
    alone = replace(check, facts=frozenset({Fact.NOTHING_REACHED}))
    assert judge_check(alone, profile).code is VerdictCode.PROXY_NEEDED
    assert judge_check(alone, PROFILE).code is VerdictCode.OFFLINE
    offline = replace(check, outcome=Outcome.OFFLINE)
    assert judge_check(offline, profile).code is VerdictCode.OFFLINE
    lately = layers(*TIMED_OUT, our_network=FAILED, facts=LATELY, worker=FAILED, elsewhere=UNKNOWN)
    assert judge(lately, profile).code is VerdictCode.OFFLINE
    without_hosts = layers(*TIMED_OUT, our_network=LayerState.NOT_APPLICABLE, worker=FAILED, elsewhere=UNKNOWN)
    assert judge(without_hosts, profile).code is not VerdictCode.PROXY_NEEDED


@pytest.mark.parametrize(
    ("facts", "worker", "code"),
    [
        ((Fact.WORKER_ON_LEGACY_PORT,), LayerState.PASSED, VerdictCode.WORKER_LEGACY_PORT),
        ((Fact.WORKER_AUTH_REJECTED, Fact.WORKER_AS_READ_ONLY), FAILED, VerdictCode.WORKER_READ_ONLY),
    ],
)
def test_what_the_doctor_finds_of_the_workers_connection_is_told(
    facts: tuple[Fact, ...], worker: LayerState, code: VerdictCode
) -> None:
    """A check tries one port as one user; that the other one works is what a person has to know."""
    found = layers(facts=facts, worker=worker)
    cause = Outcome.TOKEN_REJECTED if worker is FAILED else Outcome.CONNECTION_TIMEOUT
    if worker is FAILED:
        failed = LayerResult(layer=Layer.WORKER, state=FAILED, outcome=cause, facts=frozenset(facts))
        found = replace(found, layers=tuple(failed if one.layer is Layer.WORKER else one for one in found.layers))
    alone = Fact.WORKER_AUTH_REJECTED if worker is FAILED else Fact.WORKER_NOT_CONNECTED
    check = Check(
        database="main",
        at=datetime(2026, 11, 23, tzinfo=UTC),
        outcome=cause,
        facts=frozenset({Fact.FOUND_BY_WORKER, alone}),
    )
    verdict = judge(found, PROFILE)
    told = verdict_to_tell(Diagnosis(layers=found, verdict=verdict), cause, judge_check(check, PROFILE))
    assert told is not None
    assert (told.code, told.outcome) == (code, cause)


def test_a_slow_database_is_a_verdict_of_its_own() -> None:
    """Everything passes, but the check of the token took longer than the limit that was set."""
    slow = LayerResults(
        database="main",
        layers=tuple(
            LayerResult(
                layer=layer, state=LayerState.PASSED, outcome=Outcome.SLOW if layer is Layer.PING else None
            )
            for layer in REST_LAYERS
        ),
    )
    assert judge(slow, PROFILE).code is VerdictCode.SLOW


def test_every_code_is_reached_by_a_row_of_this_test() -> None:
    """A rule that no layers reach would never be told to anybody."""
    reached = {code for _, code in ROWS} | {code for _, _, code in ROWS_BY_PROFILE}
    assert reached | {VerdictCode.SLOW, VerdictCode.WORKER_FAILS} == set(VerdictCode)


def test_the_names_of_this_database_stand_in_the_steps() -> None:
    """Whoever reads the verdict knows which variable to set, and on which service."""
    found = layers(*REJECTED, facts=(Fact.CONSOLE_TOKEN_DIFFERS,), worker=FAILED)
    profile = replace(PROFILE, token_variable="CACHE_TOKEN", url_variable="CACHE_URL", service="queue")
    steps = word(judge(found, profile)).next_steps
    assert (
        steps[0]
        == "Set CACHE_TOKEN of service queue to the console's REST token and deploy, unless it was an ACL user's."
    )
    in_file = replace(PROFILE, token_variable="", url_variable="")
    steps = word(judge(layers(*REJECTED, worker=FAILED), in_file)).next_steps
    assert "into `url` and `token` of main in the settings file" in steps[0]


@pytest.mark.parametrize("code", VerdictCode)
def test_no_step_names_what_this_database_does_not_have(code: VerdictCode) -> None:
    """No console, status page or support where the server is not Upstash's; no variable or service but its own."""
    for profile, outcome in product(PROFILES, Outcome if code in AS_THE_OUTCOME else (Outcome.OK,)):
        _holds_to_its_database(Verdict(code=code, outcome=outcome, profile=profile))


def _holds_to_its_database(verdict: Verdict) -> None:
    code, profile, advice = verdict.code, verdict.profile, word(verdict)
    text = " ".join((advice.meaning, *advice.next_steps))
    assert "UPSTASH_REDIS" not in text
    assert "{" not in text
    if not profile.is_upstash and code not in ONLY_UPSTASHS:
        assert not re.search("upstash(?!-monitor)|console|status page|support", text, re.IGNORECASE), text
        assert advice.whose_move not in (WhoseMove.UPSTASH, WhoseMove.YOURS_THEN_UPSTASH)
    for name, value in (("CACHE_URL", profile.url_variable), ("CACHE_TOKEN", profile.token_variable)):
        assert value or name not in text
    assert profile.service or "service queue" not in text
    assert "service worker" not in text
    assert "Railway" not in text or profile.platform is Platform.RAILWAY or code in ABOUT_RAILWAY, text


AS_THE_OUTCOME = {
    VerdictCode.AS_THE_OUTCOME_SAYS,
    VerdictCode.WORKER_FAILS,
    VerdictCode.VARIABLE_MISSING,
    VerdictCode.VALUE_MALFORMED,
}
# Decided from what the console, the status page or Railway answered, or from the kind of host.
ONLY_UPSTASHS = {
    VerdictCode.WORKER_USER_DISABLED,
    VerdictCode.MONITOR_HAS_AN_OLD_TOKEN,
    VerdictCode.WORKER_HAS_AN_OLD_TOKEN,
    VerdictCode.ACL_USER_DISABLED,
    VerdictCode.ACL_USER_TOKEN,
    VerdictCode.CONSOLE_TOKEN_REFUSED,
    VerdictCode.CONSOLE_HIDES_TOKEN,
    VerdictCode.TOKEN_IS_A_PASSWORD,
    VerdictCode.KV_NAME_GONE,
    VerdictCode.DATABASE_GONE,
    VerdictCode.SUSPENDED_FOR_BANDWIDTH,
    VerdictCode.PROVIDER_TROUBLE,
    VerdictCode.ADDRESS_NOT_ALLOWED,
    VerdictCode.OTHER_DATABASE,
}
ABOUT_RAILWAY = {
    VerdictCode.VARIABLE_STAGED,
    VerdictCode.PRIVATE_NAME,
    VerdictCode.WORKER_HAS_AN_OLD_TOKEN,
    VerdictCode.WORKER_VARIABLE_MISSING,
    VerdictCode.WORKER_VALUE_DIFFERS,
}


@pytest.mark.parametrize("fact", [Fact.MASKED, Fact.PLACEHOLDER])
@pytest.mark.parametrize("host_kind", [HostKind.UPSTASH, HostKind.OTHER])
def test_a_token_that_stands_for_none_is_set_alone(fact: Fact, host_kind: HostKind) -> None:
    """The URL was found good before the token was looked at; beside such a URL the token may be no better."""
    profile = replace(PROFILE, url_variable="CACHE_URL", token_variable="CACHE_TOKEN", host_kind=host_kind)
    found = layers(Layer.CONFIGURATION, Outcome.TOKEN_MALFORMED, facts=(fact,), worker=FAILED)
    advice = word(judge(found, profile))
    assert "CACHE_TOKEN" in advice.next_steps[0]
    assert "token" in advice.meaning
    assert "URL" not in " ".join((advice.meaning, *advice.next_steps))
    found = layers(Layer.CONFIGURATION, Outcome.URL_MALFORMED, facts=(fact,), worker=FAILED)
    advice = word(judge(found, profile))
    assert "CACHE_URL" in advice.next_steps[0]
    assert "CACHE_TOKEN" in advice.next_steps[1]


def test_the_words_for_a_redirect_hold_for_each() -> None:
    """It may lead to another host, to a path or a port of the same one, or nowhere; the detail tells which."""
    verdict = judge(layers(Layer.PING, Outcome.NOT_UPSTASH, facts=(Fact.REDIRECT,)), PROFILE)
    meaning = word(verdict).meaning
    assert "redirect" in meaning
    assert not re.search("elsewhere|another|where", meaning)


def test_a_refused_token_alone_says_nothing_of_the_workers_token() -> None:
    """The worker may have another, that works or is a restricted user's: none is set in its place unasked."""
    for code in (VerdictCode.TOKEN_STALE, VerdictCode.AS_THE_OUTCOME_SAYS):
        profile = replace(PROFILE, service="queue")
        steps = word(Verdict(code=code, outcome=Outcome.TOKEN_REJECTED, profile=profile)).next_steps
        assert "service queue" not in " ".join(steps)
        assert any(step.startswith("A worker that reads the same value") for step in steps)


def test_no_server_of_ones_own_is_suspended_by_upstash() -> None:
    """The text may come from any host, through a proxy too."""
    for outcome in (Outcome.SUSPENDED, Outcome.QUOTA_EXCEEDED):
        for code in (VerdictCode.SUSPENDED, VerdictCode.SUSPENDED_FOR_BANDWIDTH):
            found = word(Verdict(code=code, outcome=outcome, profile=replace(PROFILE, host_kind=HostKind.OTHER)))
            assert "Upstash" not in " ".join((found.meaning, *found.next_steps))


@pytest.mark.parametrize("outcome", [Outcome.TOKEN_REJECTED, Outcome.TOO_MANY_CONNECTIONS])
def test_no_allowlist_keeps_out_whom_the_database_answers(outcome: Outcome) -> None:
    """A refusal over rediss:// is the database's own, so this address is let in."""
    found = without_token(Outcome.ACCESS_DENIED, facts=(Fact.CONSOLE_ALLOWLIST,), worker=FAILED)
    assert judge(found, PROFILE).code is VerdictCode.ADDRESS_NOT_ALLOWED
    refused = LayerResult(layer=Layer.WORKER, state=FAILED, outcome=outcome)
    found = replace(found, layers=tuple(refused if one.layer is Layer.WORKER else one for one in found.layers))
    assert judge(found, PROFILE).code is VerdictCode.AS_THE_OUTCOME_SAYS


@pytest.mark.parametrize(
    ("fact", "code"),
    [
        (Fact.PROXY_ASKS_LOGIN, VerdictCode.PROXY_ASKS_LOGIN),
        (Fact.PORTAL, VerdictCode.PORTAL),
        (Fact.BLOCKED_BY_LAW, VerdictCode.BLOCKED_BY_LAW),
    ],
)
def test_who_stands_in_the_way_outranks_an_allowlist_that_is_on(fact: Fact, code: VerdictCode) -> None:
    """407, 511 and 451 are nobody's allowlist."""
    found = layers(Layer.PING, Outcome.ACCESS_DENIED, facts=(fact, Fact.CONSOLE_ALLOWLIST))
    assert judge(found, PROFILE).code is code


def test_where_no_rule_fits_the_advice_for_the_outcome_is_given() -> None:
    """A single failed layer gets the meaning and the steps of its outcome."""
    verdict = judge(layers(Layer.ENCRYPTION, Outcome.TLS_FAILED, worker=FAILED), PROFILE)
    assert word(verdict) == advise(Outcome.TLS_FAILED, PROFILE)


def test_a_worker_that_alone_fails_is_never_called_good() -> None:
    """No rule fits, so its outcome's meaning and steps are given, and that they are about the worker."""
    layers = tuple(LayerResult(layer=layer, state=LayerState.PASSED) for layer in REST_LAYERS)
    alone = LayerResult(layer=Layer.WORKER, state=LayerState.FAILED, outcome=Outcome.TLS_FAILED)
    verdict = judge(LayerResults(database="main", layers=(*layers, alone)), PROFILE)
    assert verdict.code is VerdictCode.WORKER_FAILS
    assert (
        word(verdict).meaning == f"REST works, rediss:// does not. {advise(Outcome.TLS_FAILED, PROFILE).meaning}"
    )


def test_a_failed_layer_stops_what_depends_on_it_and_nothing_else() -> None:
    """Without a connection there is no encryption to examine, but the status page is read all the same."""
    found = layers(*TIMED_OUT, worker=FAILED)
    assert [result.layer for result in found.layers if result.state is LayerState.SKIPPED] == [
        Layer.ENCRYPTION,
        Layer.HTTP,
        Layer.TOKEN,
        Layer.PING,
        Layer.READING,
        Layer.WRITING,
    ]
    assert found.passed(Layer.STATUS_PAGE)


def test_no_sentence_is_written_twice() -> None:
    """A sentence that several outcomes or verdicts give is one constant, so that they cannot come apart."""
    sources = Path(monitor.diagnosis.__file__).parent.glob("*.py")
    nodes = [node for source in sources for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert [text for text, count in Counter(texts).items() if count > 1 and text.endswith((".", "?"))] == []


def test_the_doctor_corrects_an_offline_that_was_inferred() -> None:
    """It reached the status page, so our network is there; what it cannot explain is told as what failed."""
    check = Check(
        database="main",
        at=datetime(2026, 11, 23, tzinfo=UTC),
        outcome=Outcome.CONNECTION_TIMEOUT,
        facts=frozenset({Fact.NOTHING_REACHED}),
    )
    alone = judge_check(check, PROFILE)
    assert alone.code is VerdictCode.OFFLINE
    found = layers(*TIMED_OUT, our_network=FAILED, elsewhere=UNKNOWN)
    found = replace(found, layers=(*found.layers, LayerResult(layer=Layer.CONSOLE, state=LayerState.PASSED)))
    examined = judge(found, PROFILE)
    assert examined.code is VerdictCode.AS_THE_OUTCOME_SAYS
    told = verdict_to_tell(Diagnosis(layers=found, verdict=examined), check.outcome, alone)
    assert told == examined
    refused = layers(*REFUSED, our_network=FAILED, facts=UNMET, worker=FAILED)
    told = verdict_to_tell(Diagnosis(layers=refused, verdict=judge(refused, PROFILE)), check.outcome, alone)
    assert told is not None
    assert told.code is VerdictCode.BLOCKED_OR_DOWN


def test_offline_is_not_known_only_where_it_was_seen_otherwise_today() -> None:
    """Where no connectivity host ever answered, a check counts it as a failure, and so does the doctor."""
    lately = layers(*TIMED_OUT, our_network=FAILED, facts=LATELY, worker=FAILED, elsewhere=UNKNOWN)
    proxied = replace(PROFILE, proxy_variable="HTTPS_PROXY")
    assert exit_status(judge(lately, PROFILE)) is ExitStatus.UNKNOWN
    assert exit_status(judge(OFFLINE, PROFILE)) is ExitStatus.CRITICAL
    assert exit_status(judge(OFFLINE, proxied)) is ExitStatus.CRITICAL
