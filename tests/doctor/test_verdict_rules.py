"""Every rule of the verdicts, provoked on real servers: all layers are examined before they are judged."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta

import pytest

from monitor.checks.observation import Outcome
from monitor.diagnosis.advice import WhoseMove, advise, word
from monitor.diagnosis.rules import RULES, VerdictRule, judge
from monitor.diagnosis.verdicts import VerdictCode
from monitor.sandbox.console import Database
from monitor.sandbox.upstash import UpstashFault
from tests.checks.listener import Listener, hang, port_that_refuses
from tests.doctor.examined_database import READ_ONLY_TOKEN, TOKEN, TOKEN_NAME, ExaminedDatabase
from tests.judging import PROFILE

Trouble = Callable[[ExaminedDatabase], object]
# Verdicts that are given where no rule fits.
WITHOUT_A_RULE = {
    (VerdictCode.AS_THE_OUTCOME_SAYS, 0),
    (VerdictCode.WORKER_FAILS, 0),
    (VerdictCode.NOT_KNOWN, 0),
}

# Verdicts whose facts no layer and no check reports yet. Whoever reports one takes it off here.
NOT_PROVOKED_YET = frozenset(
    {
        VerdictCode.PROXY_NEEDED,
        VerdictCode.VALUES_SWAPPED,
        VerdictCode.VALUE_IS_A_PLACEHOLDER,
        VerdictCode.VALUE_IS_MASKED,
        VerdictCode.REDIS_PORT_IN_URL,
        VerdictCode.ACL_USER_DISABLED,
        VerdictCode.CONSOLE_HIDES_TOKEN,
        VerdictCode.NAME_FILTERED,
        VerdictCode.PRIVATE_NAME,
        VerdictCode.KV_NAME_GONE,
        VerdictCode.SUSPENDED_FOR_BANDWIDTH,
        VerdictCode.BANDWIDTH_USED_UP,
        VerdictCode.DAILY_LIMIT_REACHED,
        VerdictCode.NO_ROUTE,
        VerdictCode.ONE_FAMILY_FAILS,
        VerdictCode.NOT_TLS,
        VerdictCode.CERTIFICATE_UNTRUSTED,
        VerdictCode.CERTIFICATE_OUT_OF_DATE,
        VerdictCode.CERTIFICATE_OF_ANOTHER_NAME,
        VerdictCode.PROXY_ASKS_LOGIN,
        VerdictCode.PORTAL,
        VerdictCode.BLOCKED_BY_LAW,
        VerdictCode.REDIRECT_TO_HTTPS,
        VerdictCode.REDIRECT,
        VerdictCode.REQUEST_TOO_LARGE,
        VerdictCode.COMMAND_NOT_OVER_REST,
        VerdictCode.ERROR_UNKNOWN,
        VerdictCode.ACL_USER_TOKEN,
        VerdictCode.WORKER_NOT_ENCRYPTED,
        VerdictCode.CANARY_KEY_NOT_ALLOWED,
        VerdictCode.CANARY_CANNOT_DELETE,
        VerdictCode.CERTIFICATE_ENDS_SOON,
    }
)


def _token_of(number: int) -> str:
    """An older token, whose layout names its database."""
    head = bytes([1, number >> 8, number & 255, 1, 2, 32])
    return base64.urlsafe_b64encode(head + b"id" + b"s" * 32).decode()


def _offline(examined: ExaminedDatabase) -> None:
    """Nothing outside of this machine can be reached."""
    examined.connectivity_host.close()
    examined.upstash.fault = UpstashFault.REFUSE
    examined.worker_port = port_that_refuses()
    for service in (examined.page, examined.console, examined.railway):
        service.stop()


def _staged_first_time(examined: ExaminedDatabase) -> None:
    examined.token = ""
    del examined.worker.stored[TOKEN_NAME]
    examined.deploy()
    examined.worker.stage(UPSTASH_REDIS_REST_TOKEN=TOKEN)


def _mangled(token: str) -> Trouble:
    return lambda examined: setattr(examined, "token", token)


def _rotated_and_staged(examined: ExaminedDatabase) -> None:
    examined.worker.stage(UPSTASH_REDIS_REST_TOKEN=examined.rotate())


def _rotated_and_deployed(examined: ExaminedDatabase) -> None:
    examined.deploy(UPSTASH_REDIS_REST_TOKEN=examined.rotate())


def _reset_not_yet_everywhere(examined: ExaminedDatabase) -> None:
    examined.accept("AXsomeOther-token_of_before01")


def _another_databases(examined: ExaminedDatabase) -> None:
    examined.without_keys()
    examined.move_to(name="apt-shark-30690")
    examined.token = _token_of(30691)


def _older_databases_password(examined: ExaminedDatabase) -> None:
    examined.token = examined.database.password = "0123456789abcdef" * 2
    examined.shared.set_password(examined.token)


def _password_in_place_of_token(examined: ExaminedDatabase) -> None:
    examined.without_keys()
    examined.token = "aPassword-that_is_no_token1"
    examined.shared.set_password(examined.token)


def _stale(examined: ExaminedDatabase) -> None:
    examined.without_keys()
    examined.rotate()


def _deleted(examined: ExaminedDatabase) -> None:
    examined.gone.add(examined.host)
    examined.console.databases.clear()


def _fault(fault: UpstashFault) -> Trouble:
    return lambda examined: setattr(examined.upstash, "fault", fault)


def _may_not_write(examined: ExaminedDatabase) -> None:
    """A user of the database's access list, let in everywhere."""
    examined.token = READ_ONLY_TOKEN
    examined.shared.set_password(READ_ONLY_TOKEN)


def _trouble_posted(examined: ExaminedDatabase) -> None:
    examined.upstash.fault = UpstashFault.SERVER_ERROR
    examined.page.post_incident("Elevated errors", "N. Virginia, USA (us-east-1)")


def _behind_a_firewall(examined: ExaminedDatabase) -> None:
    """The connectivity hosts are out of reach and the status page is not; the database is down."""
    examined.connectivity_host.close()
    _blocked(examined)


def _not_on_the_allowlist(examined: ExaminedDatabase) -> None:
    examined.upstash.fault = UpstashFault.REFUSE
    examined.worker_port = port_that_refuses()
    examined.database.has_allowlist = True


def _blocked(examined: ExaminedDatabase) -> None:
    examined.upstash.fault = UpstashFault.REFUSE
    examined.worker_port = port_that_refuses()


def _staged_with_the_new_token_here(examined: ExaminedDatabase) -> None:
    examined.token = examined.rotate()
    examined.worker.stage(UPSTASH_REDIS_REST_TOKEN=examined.token)


def _no_variable(examined: ExaminedDatabase) -> None:
    examined.worker.stored.clear()
    examined.deploy()


def _other_password(examined: ExaminedDatabase) -> None:
    examined.database.password = "0123456789abcdef" * 2
    examined.shared.set_password(examined.database.password)


def _number_in_the_name(examined: ExaminedDatabase) -> None:
    examined.move_to(name=f"apt-shark-{examined.worker_port}")
    examined.worker_port = port_that_refuses()


def _a_hash_in_the_token(examined: ExaminedDatabase) -> None:
    examined.token = examined.database.rest_token = examined.database.password = "AXstandard#Token"
    examined.accept(examined.token)
    examined.deploy(UPSTASH_REDIS_REST_TOKEN=examined.token)


def _slow(examined: ExaminedDatabase) -> None:
    examined.upstash.delay_seconds = 0.02
    examined.settings["slow"] = "1ms"


# Code, which of the rules with that code, whose move, and what happened.
ROWS: list[tuple[VerdictCode, int, WhoseMove, Trouble]] = [
    (VerdictCode.OFFLINE, 0, WhoseMove.YOURS, _offline),
    (VerdictCode.VARIABLE_STAGED, 0, WhoseMove.YOURS, _staged_first_time),
    (VerdictCode.VARIABLE_MISSING, 0, WhoseMove.YOURS, _mangled("")),
    (VerdictCode.REST_VALUE_MANGLED, 0, WhoseMove.YOURS, _mangled(f"{TOKEN}\n")),
    (VerdictCode.VALUE_MALFORMED, 0, WhoseMove.YOURS, _mangled(f'"{TOKEN}"')),
    (VerdictCode.NEW_TOKEN_NOT_DEPLOYED, 0, WhoseMove.YOURS, _rotated_and_staged),
    (VerdictCode.MONITOR_HAS_AN_OLD_TOKEN, 0, WhoseMove.YOURS, _rotated_and_deployed),
    (VerdictCode.WORKER_HAS_AN_OLD_TOKEN, 0, WhoseMove.YOURS, ExaminedDatabase.rotate),
    (VerdictCode.CONSOLE_TOKEN_REFUSED, 0, WhoseMove.UPSTASH, _reset_not_yet_everywhere),
    (VerdictCode.TOKEN_OF_ANOTHER_DATABASE, 0, WhoseMove.YOURS, _another_databases),
    (VerdictCode.TOKEN_IS_A_PASSWORD, 0, WhoseMove.YOURS, _older_databases_password),
    (VerdictCode.REST_TOKEN_WRONG, 0, WhoseMove.YOURS, _password_in_place_of_token),
    (VerdictCode.TOKEN_STALE, 0, WhoseMove.YOURS, _stale),
    (VerdictCode.DATABASE_GONE, 0, WhoseMove.YOURS, _deleted),
    (VerdictCode.SUSPENDED, 0, WhoseMove.YOURS, _fault(UpstashFault.SUSPENDED)),
    (VerdictCode.SUSPENDED, 0, WhoseMove.YOURS, lambda examined: setattr(examined.database, "state", "suspended")),
    (VerdictCode.QUOTA_BEHIND_PING, 0, WhoseMove.YOURS, _fault(UpstashFault.QUOTA_BUT_PING)),
    (VerdictCode.DATABASE_FULL, 0, WhoseMove.YOURS, _fault(UpstashFault.CAPACITY)),
    (VerdictCode.TOKEN_READ_ONLY, 0, WhoseMove.YOURS, _may_not_write),
    (VerdictCode.PROVIDER_TROUBLE, 0, WhoseMove.UPSTASH, _trouble_posted),
    (VerdictCode.ADDRESS_NOT_ALLOWED, 0, WhoseMove.YOURS, _not_on_the_allowlist),
    (VerdictCode.BLOCKED_OR_DOWN, 0, WhoseMove.NETWORK, _blocked),
    (
        VerdictCode.BLOCKED_OR_DOWN,
        0,
        WhoseMove.NETWORK,
        _behind_a_firewall,
    ),
    (VerdictCode.OTHER_DATABASE, 0, WhoseMove.YOURS, lambda examined: examined.console.databases.clear()),
    (VerdictCode.WORKER_VARIABLE_MISSING, 0, WhoseMove.YOURS, _no_variable),
    (
        VerdictCode.WORKER_VALUE_DIFFERS,
        0,
        WhoseMove.YOURS,
        lambda examined: examined.deploy(UPSTASH_REDIS_REST_TOKEN="AXanother0"),
    ),
    (VerdictCode.NEW_TOKEN_NOT_DEPLOYED, 1, WhoseMove.YOURS, _staged_with_the_new_token_here),
    (VerdictCode.WORKER_LEGACY_PORT, 0, WhoseMove.YOURS, _number_in_the_name),
    (VerdictCode.WORKER_READ_ONLY, 0, WhoseMove.YOURS, _mangled(READ_ONLY_TOKEN)),
    (VerdictCode.WORKER_URL_WRONG, 0, WhoseMove.YOURS, _other_password),
    (VerdictCode.WORKER_URL_BROKEN, 0, WhoseMove.YOURS, _a_hash_in_the_token),
    (
        VerdictCode.WORKER_PORT_BLOCKED,
        0,
        WhoseMove.YOURS,
        lambda examined: setattr(examined, "worker_port", port_that_refuses()),
    ),
    (VerdictCode.LOGIN_WALL, 0, WhoseMove.YOURS, _fault(UpstashFault.HTML)),
    (VerdictCode.SLOW, 0, WhoseMove.YOURS_THEN_UPSTASH, _slow),
    (VerdictCode.ALL_GOOD, 0, WhoseMove.NOBODY, lambda examined: None),
    (
        VerdictCode.AS_THE_OUTCOME_SAYS,
        0,
        advise(Outcome.SERVER_ERROR, PROFILE).whose_move,
        _fault(UpstashFault.SERVER_ERROR),
    ),
]
IDS = [f"{code.value}-{trouble.__name__.strip('_<>')}" for code, _, _, trouble in ROWS]


def _rules(code: VerdictCode) -> list[VerdictRule]:
    return [rule for rule in RULES if rule.code is code]


@pytest.mark.parametrize(("code", "which", "whose_move", "trouble"), ROWS, ids=IDS)
def test_a_rule_is_reached_from_real_servers(
    examined: ExaminedDatabase, code: VerdictCode, which: int, whose_move: WhoseMove, trouble: Trouble
) -> None:
    """The trouble is made, nothing else is touched, and the verdict is that rule's and no other's."""
    trouble(examined)
    layers = examined.examine()
    verdict = judge(layers, PROFILE)
    assert (verdict.code, word(verdict).whose_move) == (code, whose_move), layers
    assert examined.railway.changes() == []


@pytest.mark.parametrize("fault", [fault for fault in UpstashFault if fault is not UpstashFault.NONE])
def test_no_fault_of_a_database_is_called_good(examined: ExaminedDatabase, fault: UpstashFault) -> None:
    """Whatever the stand-in can be made to do gets a verdict, and somebody has the move."""
    examined.settings["timeout"] = "1500ms"
    examined.upstash.fault = fault
    verdict = judge(examined.examine(), PROFILE)
    assert verdict.code not in (VerdictCode.ALL_GOOD, VerdictCode.NOT_KNOWN)
    assert word(verdict).whose_move is not WhoseMove.NOBODY


def test_a_worker_that_alone_fails_is_judged_by_its_own_outcome(examined: ExaminedDatabase) -> None:
    """Somebody else listens on the worker's port: REST works, and the sentence names what does not."""
    with Listener(hang, tls=examined.shared.certificates.server(examined.host)) as stranger:
        examined.worker_port = stranger.port
        verdict = judge(examined.examine(), PROFILE)
    assert verdict.code is VerdictCode.WORKER_FAILS
    assert (
        word(verdict).meaning
        == f"REST works, but not the worker's connection. {advise(Outcome.RESPONSE_TIMEOUT, PROFILE).meaning}"
    )


def test_every_rule_is_provoked_here() -> None:
    """A new rule is not done before real servers have produced it."""
    numbered = {(rule.code, _rules(rule.code).index(rule)) for rule in RULES}
    provoked = {(code, which) for code, which, _, _ in ROWS}
    assert provoked | WITHOUT_A_RULE == (numbered | WITHOUT_A_RULE) - {(code, 0) for code in NOT_PROVOKED_YET}
    assert {code for code, _ in numbered | WITHOUT_A_RULE} == set(VerdictCode)


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
