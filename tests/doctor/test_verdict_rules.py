"""Every rule of the verdicts, provoked on real servers: all layers are examined before they are judged."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.checks.observation import NO_CONNECTION, Check, Fact, Outcome
from monitor.diagnosis.advice import WhoseMove, advise, word
from monitor.diagnosis.rules import RULES, judge, judge_check
from monitor.diagnosis.verdicts import Layer, LayerResult, LayerResults, LayerState, Verdict, VerdictCode
from monitor.sandbox.console import Database
from monitor.sandbox.upstash import UpstashFault
from tests.doctor.examined_database import ExaminedDatabase
from tests.doctor.troubles import TROUBLES, Trouble
from tests.judging import PROFILE
from tests.program import Program, settings

OF_PORT = {Fact.WORKER_NOT_CONNECTED, Fact.WORKER_PORT_ACCEPTS}
# Given where no rule fits.
WITHOUT_A_RULE = {VerdictCode.AS_THE_OUTCOME_SAYS, VerdictCode.WORKER_FAILS, VerdictCode.NOT_KNOWN}
# No word of Upstash's for a server of somebody else's; the names of variables are whatever they are.
UPSTASHS = re.compile(r"upstash(?!-monitor|_redis_rest)|console|status page|support", re.IGNORECASE)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: f"{trouble.code.value}-{trouble.words}")
def test_a_trouble_gets_its_verdict_from_real_servers(examined: ExaminedDatabase, trouble: Trouble) -> None:
    """The trouble is made, nothing else is touched: outcome, verdict and move are those of the table."""
    trouble.make(examined)
    layers = examined.examine()
    verdict = judge(layers, examined.profile)
    advice = word(verdict)
    found = (verdict.outcome, verdict.code, advice.whose_move)
    assert found == (trouble.outcome, trouble.code, trouble.whose_move), layers
    if not examined.profile.is_upstash:
        assert not UPSTASHS.search(" ".join((advice.meaning, *advice.next_steps)))
    assert examined.railway.changes() == []
    assert_check_agrees(examined.check(), layers, verdict)


def assert_check_agrees(check: Check, layers: LayerResults, verdict: Verdict) -> None:
    """A check ends in the outcome that the layers of REST show, and in the verdict of what both have seen."""
    slow = layers.result_of(Layer.PING).outcome
    assert check.outcome is (layers.outcome() or slow or Outcome.OK)
    if check.outcome.family.is_failing:
        shared = replace(layers, layers=tuple(seen_by_both(one, check.outcome) for one in layers.layers))
        alone, both = judge_check(check, verdict.profile), judge(shared, verdict.profile)
        assert (alone.code, word(alone)) == (both.code, word(both)), (check, layers)


def seen_by_both(result: LayerResult, outcome: Outcome) -> LayerResult:
    """Nobody else than the host is asked by a check, and of the worker's way whether its port accepts."""
    if result.layer is Layer.WORKER and outcome in NO_CONNECTION:
        accepts = frozenset({Fact.WORKER_PORT_ACCEPTS} if result.state is LayerState.PASSED else ())
        return replace(result, state=LayerState.NOT_APPLICABLE, facts=(result.facts & OF_PORT) | accepts)
    if result.layer in (Layer.WORKER, Layer.STATUS_PAGE, Layer.CONSOLE, Layer.PLATFORM):
        return LayerResult(layer=result.layer, state=LayerState.NOT_APPLICABLE)
    return result


def test_every_rule_is_provoked_here() -> None:
    """A new rule is not done before real servers have produced it."""
    rules, provoked = Counter(rule.code for rule in RULES), Counter(trouble.code for trouble in TROUBLES)
    assert set(rules) | WITHOUT_A_RULE == set(VerdictCode)
    wanted = rules | Counter(WITHOUT_A_RULE - {VerdictCode.NOT_KNOWN})  # that one has a test of its own below
    assert wanted - provoked == Counter()


def test_every_outcome_is_provoked_here() -> None:
    """What a check alone can end in is in the table as well, but for our own fault."""
    elsewhere = {Outcome.OK, Outcome.OFFLINE, Outcome.MONITOR_ERROR}
    assert {trouble.outcome for trouble in TROUBLES} | elsewhere == {None, *Outcome}


@pytest.mark.faults("no route at all")
def test_a_machine_without_a_route_is_told_so(tmp_path: Path) -> None:
    """In a network namespace with loopback alone the program says that the route is ours."""
    unshare, ip = shutil.which("unshare"), shutil.which("ip")
    if unshare is None or ip is None:
        pytest.skip("wanted unshare and ip, found none. Next: apt-get install util-linux iproute2")
    in_namespace = [unshare, "--net", "--map-root-user"]
    if subprocess.run([*in_namespace, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("wanted a network namespace of our own, found that this kernel or container forbids it")
    database = {"name": "main", "url": "https://203.0.113.7", "token": "AXtoken-of-the-namespace", "timeout": "2s"}
    program = Program(tmp_path, settings(database))
    script = 'ip link set lo up; exec "$0" -m monitor "$@"'
    for words in (["doctor", "--json"], ["check", "--json", "--no-alerts", "--within", "20s"]):
        ended = subprocess.run(
            [*in_namespace, "sh", "-c", script, sys.executable, *words],
            cwd=tmp_path,
            env=program.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        (found,) = json.loads(ended.stdout)["databases"]
        told = found.get("verdict", found)
        assert ended.returncode == 2
        assert told["whose_move"] == WhoseMove.YOURS.value
        assert told["meaning"] == advise(Outcome.NETWORK_UNREACHABLE, PROFILE).meaning


@pytest.mark.parametrize("fault", [fault for fault in UpstashFault if fault is not UpstashFault.NONE])
def test_no_fault_of_a_database_is_called_good(examined: ExaminedDatabase, fault: UpstashFault) -> None:
    """Whatever the stand-in can be made to do gets a verdict, and somebody has the move."""
    examined.settings["timeout"] = "1500ms"
    examined.upstash.fault = fault
    verdict = judge(examined.examine(), PROFILE)
    assert verdict.code not in (VerdictCode.ALL_GOOD, VerdictCode.NOT_KNOWN)
    assert word(verdict).whose_move is not WhoseMove.NOBODY


def test_an_examination_without_time_is_no_verdict(examined: ExaminedDatabase) -> None:
    """What hangs is not known when time is up; REST is then neither called good nor bad."""
    examined.upstash.fault = UpstashFault.HANG
    verdict = judge(examined.examine(within=timedelta(seconds=0.5)), PROFILE)
    assert (verdict.code, word(verdict).whose_move) == (VerdictCode.NOT_KNOWN, WhoseMove.YOURS)


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        (
            VerdictCode.QUOTA_BEHIND_PING,
            lambda database: setattr(database, "commands_used", database.command_limit),
        ),
        (VerdictCode.DATABASE_FULL, lambda database: setattr(database, "storage_used", database.storage_limit)),
    ],
    ids=["used up", "full"],
)
def test_without_billed_layers_the_consoles_figures_decide(
    examined: ExaminedDatabase, code: VerdictCode, trouble: Callable[[Database], None]
) -> None:
    """PING is fine in both cases; a command that was answered would outweigh the figures."""
    trouble(examined.database)
    assert judge(examined.examine(is_billed=False), PROFILE).code is code
    assert judge(examined.examine(), PROFILE).code is VerdictCode.ALL_GOOD
