"""Every rule of the verdicts, reached by layers that are written out; tests/doctor has real servers."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

import monitor.diagnosis
from monitor.checks.observation import Fact, Outcome
from monitor.diagnosis.advice import advise
from monitor.diagnosis.layers import REST_LAYERS, Layer, LayerResult, LayerResults, LayerState, blocked_by
from monitor.diagnosis.verdicts import RULES, VerdictCode, judge

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


FAILED, UNKNOWN = LayerState.FAILED, LayerState.UNKNOWN
BROKEN = (Layer.PING, Outcome.SERVER_ERROR)
REJECTED = (Layer.TOKEN, Outcome.TOKEN_REJECTED)
TIMED_OUT = (Layer.CONNECTION, Outcome.CONNECTION_TIMEOUT)
ROWS: list[tuple[LayerResults, VerdictCode]] = [
    (
        layers(Layer.LOOKUP, Outcome.DNS_FAILED, our_network=FAILED, worker=FAILED, elsewhere=UNKNOWN),
        VerdictCode.OFFLINE,
    ),
    (layers(*TIMED_OUT, our_network=FAILED, worker=FAILED, elsewhere=UNKNOWN), VerdictCode.OFFLINE),
    # Somebody answered, so our network is there: what fails is between us and the host, or the host.
    (layers(*TIMED_OUT, our_network=FAILED, worker=FAILED), VerdictCode.BLOCKED_OR_DOWN),
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
    (layers(*TIMED_OUT, worker=FAILED), VerdictCode.BLOCKED_OR_DOWN),
    (layers(Layer.CONNECTION, Outcome.CONNECTION_REFUSED, worker=FAILED), VerdictCode.BLOCKED_OR_DOWN),
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
    (layers(facts=(Fact.WORKER_URL_BROKEN,), worker=FAILED), VerdictCode.WORKER_URL_WRONG),
    (layers(facts=(Fact.WORKER_AUTH_REJECTED,), worker=FAILED), VerdictCode.WORKER_URL_WRONG),
    (layers(facts=(Fact.WORKER_NOT_CONNECTED,), worker=FAILED), VerdictCode.WORKER_PORT_BLOCKED),
    (layers(), VerdictCode.ALL_GOOD),
    (LayerResults(database="main", layers=()), VerdictCode.NOT_KNOWN),
]


@pytest.mark.parametrize(
    ("found", "code"), ROWS, ids=[f"{number}-{row[1].value}" for number, row in enumerate(ROWS)]
)
def test_layers_get_the_verdict_of_their_combination(found: LayerResults, code: VerdictCode) -> None:
    """Not the first error alone decides, but which layers failed together and what the other sources know."""
    verdict = judge(found)
    assert verdict.code is code
    assert verdict.meaning
    assert verdict.whose_move
    assert len(verdict.next_steps) <= 3


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
    assert judge(slow).code is VerdictCode.SLOW


def test_every_code_is_reached_by_a_row_of_this_test() -> None:
    """A rule that no layers reach would never be told to anybody."""
    assert {code for _, code in ROWS} | {VerdictCode.SLOW} == set(VerdictCode)


def test_the_name_of_the_service_stands_in_the_steps() -> None:
    """Whoever reads the verdict knows where to set the variable."""
    found = layers(*REJECTED, facts=(Fact.CONSOLE_TOKEN_DIFFERS,), worker=FAILED)
    assert "of service queue to the console's" in judge(found, service="queue").next_steps[0]
    assert not [row for row in RULES if "{" in judge(found).meaning]


def test_where_no_rule_fits_the_advice_for_the_outcome_is_given() -> None:
    """A single failed layer gets the meaning and the steps of its outcome."""
    verdict = judge(layers(Layer.ENCRYPTION, Outcome.TLS_FAILED, worker=FAILED))
    advice = advise(Outcome.TLS_FAILED)
    assert (verdict.meaning, verdict.whose_move, verdict.next_steps) == (
        advice.meaning,
        advice.whose_move,
        advice.next_steps,
    )


def test_a_worker_that_alone_fails_is_never_called_good() -> None:
    """No rule fits, so its outcome's meaning and steps are given, and that they are about the worker."""
    layers = tuple(LayerResult(layer=layer, state=LayerState.PASSED) for layer in REST_LAYERS)
    alone = LayerResult(layer=Layer.WORKER, state=LayerState.FAILED, outcome=Outcome.TLS_FAILED)
    verdict = judge(LayerResults(database="main", layers=(*layers, alone)))
    assert verdict.code is VerdictCode.AS_THE_OUTCOME_SAYS
    assert verdict.meaning == f"REST works, but not the worker's connection. {advise(Outcome.TLS_FAILED).meaning}"


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
