"""The verdict on the layers of one database: the first rule that fits what they show together.

A rule has a code of its own only where the layers and facts tell more than the outcome alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from monitor.checks.observation import NO_CONNECTION, NOT_THROUGH, Check, Fact, Family, Outcome
from monitor.diagnosis.verdicts import (
    DatabaseProfile,
    Diagnosis,
    HostKind,
    Layer,
    LayerResult,
    LayerResults,
    LayerState,
    Verdict,
    VerdictCode,
    judge_outcome,
)
from monitor.lib.exit_status import ExitStatus, worst

_FROM_UPSTASH = frozenset(
    {
        Fact.TROUBLE_POSTED,
        *(fact for fact in Fact if fact.value.startswith("console_")),
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Examined:
    """The layers of a database, what is known of it, and the questions that rules ask."""

    layers: LayerResults
    profile: DatabaseProfile

    def ended(self, *outcomes: Outcome) -> bool:
        """True when REST failed with one of these."""
        return self.layers.outcome() in outcomes

    def has(self, *facts: Fact) -> bool:
        """True when all were found; nobody at Upstash knows anything of a server that is not theirs."""
        if not self.profile.is_upstash and not _FROM_UPSTASH.isdisjoint(facts):
            return False
        return self.layers.has(*facts)

    @property
    def is_rejected(self) -> bool:
        return self.ended(Outcome.TOKEN_REJECTED)

    @property
    def is_malformed(self) -> bool:
        return self.ended(Outcome.URL_MALFORMED, Outcome.TOKEN_MALFORMED)

    @property
    def is_missing(self) -> bool:
        return self.ended(Outcome.URL_MISSING, Outcome.TOKEN_MISSING)

    @property
    def is_suspended(self) -> bool:
        return self.ended(Outcome.SUSPENDED) or self.has(Fact.CONSOLE_SUSPENDED)

    @property
    def is_unreachable(self) -> bool:
        """The database could not be used for a reason on the network or at the service."""
        outcome = self.layers.outcome()
        return outcome is not None and outcome.family in (Family.NETWORK, Family.SERVICE)

    @property
    def is_met_by_a_stranger(self) -> bool:
        """Not the database: nothing answered, or something else. Through a tunnel the database answers itself."""
        outcome = self.layers.outcome()
        return outcome is not None and (outcome.family is Family.NETWORK or outcome is Outcome.NOT_UPSTASH)

    @property
    def is_unconnected(self) -> bool:
        return self.ended(*NO_CONNECTION)

    @property
    def has_network(self) -> bool:
        """Anybody's answer proves it: a firewall may keep us from the connectivity hosts and from nobody else.

        So does a connection alone, unless the connectivity hosts answered today: with none of them left, the
        network went away below a connection that stood.
        """
        if self.layers.passed(Layer.CONNECTIVITY) or self.is_let_in or self.has(Fact.NETWORK_REACHED):
            return True
        outcome = self.layers.outcome()
        is_silent = outcome is None or outcome.family is Family.NETWORK
        if not (is_silent and self.has(Fact.ANSWERED_LATELY)) and (
            self.layers.passed(Layer.CONNECTION) or self.has(Fact.WORKER_PORT_ACCEPTS)
        ):
            return True
        # These fail by what they answer; where no answer came they are unknown.
        return any(
            self.layers.result_of(layer).state in (LayerState.PASSED, LayerState.FAILED)
            for layer in _BEYOND_THE_HOST
        )

    @property
    def is_nowhere_connected(self) -> bool:
        """Neither REST's port nor the worker's, where that was tried: then it is more than a wrong port."""
        if self.has(Fact.WORKER_NOT_CONNECTED):
            return True
        worker = self.layers.result_of(Layer.WORKER)
        is_tried = worker.state in (LayerState.PASSED, LayerState.FAILED) and not self.has(Fact.WORKER_URL_BROKEN)
        return self.ended(Outcome.CONNECTION_TIMEOUT) and not is_tried and not self.has(Fact.WORKER_PORT_ACCEPTS)

    @property
    def rest_works(self) -> bool:
        return self.layers.passed(Layer.PING) and self.layers.outcome() is None

    @property
    def is_let_in(self) -> bool:
        """The database itself answered this machine, over REST or over the worker's connection."""
        worker = self.layers.result_of(Layer.WORKER).outcome
        return any(self.layers.passed(layer) for layer in (Layer.TOKEN, Layer.PING, Layer.WORKER)) or (
            worker is not None and worker.family in (Family.TOKEN, Family.QUOTA)
        )

    @property
    def worker_failed(self) -> bool:
        return self.layers.failed(Layer.WORKER)


@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictRule:
    """One row of the table."""

    code: VerdictCode
    fits: Callable[[_Examined], bool]


def _rule(code: VerdictCode, fits: Callable[[_Examined], bool]) -> VerdictRule:
    return VerdictRule(code=code, fits=fits)


# How a caller is kept out whose address is not allowed: by silence, by a reset, by a page. Which of them Upstash's
# allowlist gives is not documented.
_KEPT_OUT = (
    Outcome.CONNECTION_TIMEOUT,
    Outcome.CONNECTION_REFUSED,
    Outcome.TLS_TIMEOUT,
    Outcome.CONNECTION_LOST,
    Outcome.RESPONSE_TIMEOUT,
    Outcome.ACCESS_DENIED,
)
# What Upstash posts is no cause of these.
_OUR_WAY = (Outcome.NETWORK_UNREACHABLE, Outcome.DNS_NOT_FOUND, Outcome.ACCESS_DENIED, Outcome.NOT_UPSTASH)
_BEYOND_THE_HOST = (Layer.STATUS_PAGE, Layer.CONSOLE, Layer.PLATFORM)
_PRIVATE_OF_PLATFORM = (HostKind.RAILWAY_PRIVATE, HostKind.FLY_PRIVATE, HostKind.UPSTASH_ON_FLY)
_PRIVATE = (*_PRIVATE_OF_PLATFORM, HostKind.PRIVATE)

# Ordered: of several rules that fit the first counts. First what keeps REST from working, the certain before the
# probable; then, with REST in order, what may be wrong with the worker; then that nothing is.
RULES: tuple[VerdictRule, ...] = (
    # Our own side.
    _rule(
        VerdictCode.PROXY_NEEDED,
        lambda seen: (
            bool(seen.profile.proxy_variable)
            and seen.layers.failed(Layer.CONNECTIVITY)
            and not seen.has(Fact.ANSWERED_LATELY)
            and not seen.has_network
            and seen.ended(Outcome.DNS_FAILED, Outcome.DNS_NOT_FOUND, *NO_CONNECTION)
        ),
    ),
    _rule(
        VerdictCode.OFFLINE,
        lambda seen: seen.layers.failed(Layer.CONNECTIVITY) and seen.is_unreachable and not seen.has_network,
    ),
    # The values as they stand.
    _rule(VerdictCode.VARIABLE_STAGED, lambda seen: seen.is_missing and seen.has(Fact.WORKER_VARIABLE_STAGED)),
    _rule(VerdictCode.VARIABLE_MISSING, lambda seen: seen.is_missing),
    _rule(VerdictCode.VALUES_SWAPPED, lambda seen: seen.is_malformed and seen.has(Fact.SWAPPED)),
    _rule(VerdictCode.VALUE_IS_A_PLACEHOLDER, lambda seen: seen.is_malformed and seen.has(Fact.PLACEHOLDER)),
    _rule(VerdictCode.VALUE_IS_MASKED, lambda seen: seen.is_malformed and seen.has(Fact.MASKED)),
    _rule(VerdictCode.REDIS_PORT_IN_URL, lambda seen: seen.is_malformed and seen.has(Fact.REDIS_PORT_IN_URL)),
    _rule(VerdictCode.REST_VALUE_MANGLED, lambda seen: seen.is_malformed and seen.layers.passed(Layer.WORKER)),
    _rule(VerdictCode.VALUE_MALFORMED, lambda seen: seen.is_malformed),
    # The token is refused.
    # Before all that say "copy the console's": in place of a restricted user's it would give away full rights.
    _rule(
        VerdictCode.ACL_USER_DISABLED,
        lambda seen: (
            seen.is_rejected
            # Over rediss:// every refusal speaks of a user.
            and Fact.USER_MAY_BE_DISABLED in seen.layers.result_of(Layer.TOKEN).facts
            and not seen.has(Fact.CONSOLE_TOKEN_IS_OURS)
            and not seen.layers.passed(Layer.WORKER)
            and seen.profile.is_upstash
        ),
    ),
    _rule(
        VerdictCode.NEW_TOKEN_NOT_DEPLOYED,
        lambda seen: (
            seen.is_rejected and seen.has(Fact.WORKER_VARIABLE_IS_THE_CONSOLES, Fact.WORKER_VARIABLE_STAGED)
        ),
    ),
    # Before everything that would have the worker's token replaced.
    _rule(
        VerdictCode.WORKER_TOKEN_WORKS, lambda seen: seen.is_rejected and seen.has(Fact.WORKER_HAS_ANOTHER_TOKEN)
    ),
    _rule(
        VerdictCode.MONITOR_HAS_AN_OLD_TOKEN,
        lambda seen: (
            seen.is_rejected and seen.has(Fact.CONSOLE_TOKEN_DIFFERS, Fact.WORKER_VARIABLE_IS_THE_CONSOLES)
        ),
    ),
    _rule(
        VerdictCode.WORKER_HAS_AN_OLD_TOKEN,
        lambda seen: seen.is_rejected and seen.has(Fact.CONSOLE_TOKEN_DIFFERS),
    ),
    _rule(
        VerdictCode.CONSOLE_TOKEN_REFUSED,
        lambda seen: seen.is_rejected and seen.has(Fact.CONSOLE_TOKEN_IS_OURS),
    ),
    _rule(
        VerdictCode.TOKEN_OF_ANOTHER_DATABASE,
        lambda seen: seen.is_rejected and seen.has(Fact.TOKEN_OF_ANOTHER_DATABASE),
    ),
    _rule(
        VerdictCode.TOKEN_IS_A_PASSWORD,
        lambda seen: seen.is_rejected and seen.has(Fact.TOKEN_IS_A_PASSWORD) and seen.profile.is_upstash,
    ),
    _rule(
        VerdictCode.REST_TOKEN_WRONG,
        lambda seen: seen.is_rejected and seen.layers.passed(Layer.WORKER),
    ),
    _rule(VerdictCode.CONSOLE_HIDES_TOKEN, lambda seen: seen.is_rejected and seen.has(Fact.CONSOLE_HIDES_TOKEN)),
    _rule(VerdictCode.TOKEN_STALE, lambda seen: seen.is_rejected),
    # The name.
    _rule(
        VerdictCode.NAME_FILTERED,
        lambda seen: (
            seen.has(Fact.NAME_FILTERED)
            and seen.is_met_by_a_stranger
            # A tunnel or a proxy of one's own leads to this machine as well, where somebody answers.
            and not seen.layers.passed(Layer.ENCRYPTION)
            and not seen.layers.failed(Layer.HTTP)
            and not seen.ended(Outcome.NOT_UPSTASH, Outcome.RESPONSE_TIMEOUT)
        ),
    ),
    _rule(
        VerdictCode.PRIVATE_NAME,
        lambda seen: (
            (seen.profile.host_kind in _PRIVATE and seen.ended(Outcome.DNS_NOT_FOUND, Outcome.DNS_FAILED))
            # Inside, or where a network of one's own resolves it, a name that leads to an address is no riddle.
            or (
                seen.profile.host_kind in _PRIVATE_OF_PLATFORM
                and not seen.profile.is_inside
                and seen.ended(*NO_CONNECTION)
            )
        ),
    ),
    # Before the next: no account of Upstash's lists the name that Vercel gave.
    _rule(
        VerdictCode.KV_NAME_GONE,
        lambda seen: seen.profile.host_kind is HostKind.VERCEL_KV and seen.ended(Outcome.DNS_NOT_FOUND),
    ),
    _rule(
        VerdictCode.DATABASE_GONE,
        lambda seen: seen.ended(Outcome.DNS_NOT_FOUND) and seen.has(Fact.CONSOLE_HAS_NO_SUCH_DATABASE),
    ),
    # The plan.
    _rule(
        VerdictCode.SUSPENDED_FOR_BANDWIDTH,
        lambda seen: seen.is_suspended and (seen.has(Fact.BANDWIDTH) or seen.has(Fact.CONSOLE_BANDWIDTH_USED_UP)),
    ),
    _rule(VerdictCode.SUSPENDED, lambda seen: seen.is_suspended),
    _rule(
        VerdictCode.BANDWIDTH_USED_UP,
        lambda seen: seen.ended(Outcome.QUOTA_EXCEEDED) and seen.has(Fact.BANDWIDTH),
    ),
    _rule(
        VerdictCode.DAILY_LIMIT_REACHED,
        lambda seen: seen.ended(Outcome.QUOTA_EXCEEDED) and seen.has(Fact.DAILY_LIMIT),
    ),
    _rule(
        VerdictCode.QUOTA_BEHIND_PING,
        lambda seen: (
            seen.layers.passed(Layer.PING)
            and (
                seen.ended(Outcome.QUOTA_EXCEEDED)
                # The console's count is no proof against a command that was answered.
                or (seen.has(Fact.CONSOLE_COMMANDS_USED_UP) and not seen.layers.passed(Layer.READING))
            )
        ),
    ),
    _rule(
        VerdictCode.DATABASE_FULL,
        lambda seen: (
            seen.ended(Outcome.CAPACITY_FULL)
            or (seen.has(Fact.CONSOLE_STORAGE_FULL) and not seen.layers.passed(Layer.WRITING))
        ),
    ),
    _rule(
        VerdictCode.TOKEN_READ_ONLY,
        lambda seen: (
            seen.layers.passed(Layer.PING)
            and seen.layers.failed(Layer.WRITING)
            and seen.ended(Outcome.PERMISSION_DENIED)
            and not seen.has(Fact.READING_NOT_ALLOWED)
            # Then a worker as it is usually built does not get in at all, which a later rule says.
            and not seen.has(Fact.WORKER_AS_READ_ONLY)
        ),
    ),
    _rule(
        VerdictCode.REQUEST_TOO_LARGE,
        lambda seen: seen.ended(Outcome.COMMAND_ERROR) and seen.has(Fact.TOO_LARGE),
    ),
    _rule(
        VerdictCode.COMMAND_NOT_OVER_REST,
        lambda seen: seen.ended(Outcome.COMMAND_ERROR) and seen.has(Fact.NOT_OVER_REST),
    ),
    _rule(
        VerdictCode.ERROR_UNKNOWN,
        lambda seen: seen.ended(Outcome.COMMAND_ERROR) and seen.has(Fact.UNKNOWN_TEXT),
    ),
    # The way there, and who answers in the database's place.
    # Before the next: who stands in the way says so, and an allowlist that is on is no proof.
    _rule(
        VerdictCode.PROXY_ASKS_LOGIN,
        lambda seen: seen.ended(Outcome.ACCESS_DENIED) and seen.has(Fact.PROXY_ASKS_LOGIN),
    ),
    _rule(VerdictCode.PORTAL, lambda seen: seen.ended(Outcome.ACCESS_DENIED) and seen.has(Fact.PORTAL)),
    _rule(
        VerdictCode.BLOCKED_BY_LAW,
        lambda seen: seen.ended(Outcome.ACCESS_DENIED) and seen.has(Fact.BLOCKED_BY_LAW),
    ),
    _rule(
        VerdictCode.ADDRESS_NOT_ALLOWED,
        # An allowlist keeps an address out of the whole database.
        lambda seen: seen.ended(*_KEPT_OUT) and seen.has(Fact.CONSOLE_ALLOWLIST) and not seen.is_let_in,
    ),
    _rule(
        VerdictCode.PROVIDER_TROUBLE,
        lambda seen: seen.is_unreachable and not seen.ended(*_OUR_WAY) and seen.has(Fact.TROUBLE_POSTED),
    ),
    _rule(VerdictCode.NO_ROUTE, lambda seen: seen.ended(Outcome.NETWORK_UNREACHABLE)),
    _rule(
        VerdictCode.ONE_FAMILY_FAILS,
        lambda seen: (seen.has(Fact.IPV4_FAILS) or seen.has(Fact.IPV6_FAILS)) and seen.ended(*NOT_THROUGH),
    ),
    _rule(
        VerdictCode.BLOCKED_OR_DOWN,
        lambda seen: seen.is_unconnected and seen.has_network and seen.is_nowhere_connected,
    ),
    _rule(VerdictCode.NOT_TLS, lambda seen: seen.ended(Outcome.TLS_FAILED) and seen.has(Fact.NOT_TLS)),
    _rule(
        VerdictCode.CERTIFICATE_UNTRUSTED,
        lambda seen: seen.ended(Outcome.TLS_FAILED) and seen.has(Fact.CERTIFICATE_UNTRUSTED),
    ),
    _rule(
        VerdictCode.CERTIFICATE_OUT_OF_DATE,
        lambda seen: seen.ended(Outcome.TLS_FAILED) and seen.has(Fact.CERTIFICATE_OUT_OF_DATE),
    ),
    _rule(
        VerdictCode.CERTIFICATE_OF_ANOTHER_NAME,
        lambda seen: seen.ended(Outcome.TLS_FAILED) and seen.has(Fact.CERTIFICATE_OF_ANOTHER_NAME),
    ),
    _rule(
        VerdictCode.REDIRECT_TO_HTTPS,
        lambda seen: seen.ended(Outcome.NOT_UPSTASH) and seen.has(Fact.REDIRECT_TO_HTTPS),
    ),
    _rule(VerdictCode.REDIRECT, lambda seen: seen.ended(Outcome.NOT_UPSTASH) and seen.has(Fact.REDIRECT)),
    _rule(VerdictCode.LOGIN_WALL, lambda seen: seen.ended(Outcome.NOT_UPSTASH) and seen.has(Fact.WALL)),
    # REST works; the worker may not.
    _rule(
        VerdictCode.OTHER_DATABASE,
        lambda seen: seen.rest_works and seen.has(Fact.CONSOLE_HAS_NO_SUCH_DATABASE),
    ),
    _rule(
        VerdictCode.WORKER_VARIABLE_MISSING,
        lambda seen: seen.rest_works and seen.has(Fact.WORKER_VARIABLE_MISSING),
    ),
    _rule(
        VerdictCode.WORKER_USER_DISABLED,
        lambda seen: seen.rest_works and seen.has(Fact.WORKER_USER_MAY_BE_DISABLED),
    ),
    # Before the next rule: to deploy a staged value that is not the right one would break a worker that works.
    _rule(
        VerdictCode.WORKER_VALUE_DIFFERS,
        lambda seen: seen.rest_works and seen.has(Fact.WORKER_VARIABLE_DIFFERS),
    ),
    _rule(
        VerdictCode.NEW_TOKEN_NOT_DEPLOYED,
        lambda seen: seen.rest_works and seen.has(Fact.WORKER_VARIABLE_STAGED),
    ),
    _rule(
        VerdictCode.WORKER_LEGACY_PORT,
        lambda seen: seen.rest_works and seen.has(Fact.WORKER_ON_LEGACY_PORT),
    ),
    _rule(
        VerdictCode.WORKER_READ_ONLY,
        lambda seen: (
            seen.layers.passed(Layer.TOKEN)
            and (seen.rest_works or seen.ended(Outcome.PERMISSION_DENIED))
            and seen.has(Fact.WORKER_AS_READ_ONLY)
        ),
    ),
    _rule(
        VerdictCode.ACL_USER_TOKEN,
        lambda seen: seen.rest_works and seen.has(Fact.CONSOLE_TOKEN_DIFFERS, Fact.WORKER_AUTH_REJECTED),
    ),
    _rule(
        VerdictCode.WORKER_URL_WRONG,
        lambda seen: seen.rest_works and seen.has(Fact.WORKER_AUTH_REJECTED),
    ),
    _rule(
        VerdictCode.WORKER_URL_BROKEN,
        lambda seen: seen.rest_works and seen.has(Fact.WORKER_URL_BROKEN),
    ),
    _rule(
        VerdictCode.WORKER_PORT_BLOCKED,
        lambda seen: seen.rest_works and seen.has(Fact.WORKER_NOT_CONNECTED),
    ),
    _rule(
        VerdictCode.WORKER_NOT_TLS,
        lambda seen: seen.rest_works and seen.has(Fact.WORKER_NOT_ENCRYPTED, Fact.NOT_TLS),
    ),
    _rule(
        VerdictCode.WORKER_NOT_ENCRYPTED,
        lambda seen: (
            seen.rest_works
            and seen.has(Fact.WORKER_NOT_ENCRYPTED)
            and seen.layers.result_of(Layer.WORKER).outcome is not Outcome.TOO_MANY_CONNECTIONS
        ),
    ),
    _rule(
        VerdictCode.SLOW,
        lambda seen: seen.layers.result_of(Layer.PING).outcome is Outcome.SLOW and not seen.worker_failed,
    ),
    _rule(
        VerdictCode.CANARY_KEY_NOT_ALLOWED,
        lambda seen: seen.rest_works and not seen.worker_failed and seen.has(Fact.KEY_NOT_ALLOWED),
    ),
    _rule(
        VerdictCode.CANARY_CANNOT_DELETE,
        lambda seen: seen.rest_works and not seen.worker_failed and seen.has(Fact.DELETE_NOT_ALLOWED),
    ),
    _rule(
        VerdictCode.CERTIFICATE_ENDS_SOON,
        lambda seen: seen.rest_works and not seen.worker_failed and seen.has(Fact.CERTIFICATE_ENDS_SOON),
    ),
    _rule(VerdictCode.ALL_GOOD, lambda seen: seen.rest_works and not seen.worker_failed),
)
_STATUS = {
    VerdictCode.ALL_GOOD: ExitStatus.OK,
    VerdictCode.CANARY_KEY_NOT_ALLOWED: ExitStatus.OK,
    VerdictCode.CANARY_CANNOT_DELETE: ExitStatus.OK,
    VerdictCode.SLOW: ExitStatus.WARNING,
    VerdictCode.CERTIFICATE_ENDS_SOON: ExitStatus.WARNING,
    # REST works; whether a worker is told the user's name cannot be seen from here.
    VerdictCode.ACL_USER_TOKEN: ExitStatus.WARNING,
    VerdictCode.OTHER_DATABASE: ExitStatus.UNKNOWN,
    VerdictCode.NOT_KNOWN: ExitStatus.UNKNOWN,
}


def judge(layers: LayerResults, profile: DatabaseProfile) -> Verdict:
    """The verdict on the layers; there always is one."""
    seen = _Examined(layers=layers, profile=profile)
    outcome, worker_outcome = layers.outcome(), layers.result_of(Layer.WORKER).outcome
    code = next((rule.code for rule in RULES if rule.fits(seen)), None)
    if code is VerdictCode.OFFLINE and seen.has(Fact.ANSWERED_LATELY):
        # As a check has it. Where no connectivity host ever answered, a firewall may hide an outage.
        return Verdict(code=code, outcome=Outcome.OFFLINE, profile=profile)
    if code is not None:
        slow = layers.result_of(Layer.PING).outcome
        return Verdict(code=code, outcome=outcome or worker_outcome or slow, profile=profile)
    if outcome is not None:
        return Verdict(code=VerdictCode.AS_THE_OUTCOME_SAYS, outcome=outcome, profile=profile)
    if layers.failed(Layer.WORKER) and worker_outcome is not None:
        return Verdict(code=VerdictCode.WORKER_FAILS, outcome=worker_outcome, profile=profile)
    return Verdict(code=VerdictCode.NOT_KNOWN, outcome=None, profile=profile)


def judge_check(check: Check, profile: DatabaseProfile) -> Verdict:
    """The verdict on what one check alone showed, by the same rules."""
    outcome = check.outcome
    if outcome is Outcome.OFFLINE:
        return Verdict(code=VerdictCode.OFFLINE, outcome=outcome, profile=profile)
    if outcome in (Outcome.OK, Outcome.MONITOR_ERROR) and not check.facts & _TOLD_OF_FINE_CHECKS:
        return judge_outcome(outcome, profile)
    return judge(_layers_of(check), profile)


def verdict_to_tell(diagnosis: Diagnosis, cause: Outcome, told: Verdict) -> Verdict | None:
    """What the doctor found of an incident with this cause, in place of the verdict `told` of its checks alone.

    `None` where it tells no more than that, where the database was fine again by then, or failed in another way.
    """
    layers, verdict = diagnosis.layers, diagnosis.verdict
    outcome = layers.outcome()
    if told.code in _NOTHING_REACHED and verdict.code is VerdictCode.AS_THE_OUTCOME_SAYS:
        # The doctor reached somebody, such as the status page, and more than the cause is not known.
        is_of_network = outcome is not None and outcome.family is Family.NETWORK
        return judge_outcome(cause, verdict.profile) if is_of_network else None
    if verdict.code in _ADDS_NOTHING:
        return None
    # Where REST failed and works by now, a worker's connection that fails may never have worked.
    if outcome is None and told.code in _ABOUT_WORKER:
        if verdict.code is VerdictCode.WORKER_LEGACY_PORT:
            return replace(verdict, outcome=cause)
        outcome = layers.result_of(Layer.WORKER).outcome
    if outcome is not None:
        return verdict if outcome.family is cause.family else None
    is_known_elsewhere = cause.family is Family.QUOTA and verdict.code in _ABOUT_LIMITS
    return replace(verdict, outcome=cause) if is_known_elsewhere else None


def exit_status(verdict: Verdict) -> ExitStatus:
    """The exit status of the doctor for one database, by the convention of `check`.

    Unlike `check`, whose 1 means slow only, it warns of what will break though all that a check asks works.
    """
    if verdict.outcome is Outcome.OFFLINE:
        return ExitStatus.UNKNOWN
    return _STATUS.get(verdict.code, ExitStatus.CRITICAL)


def worst_status(verdicts: Sequence[Verdict]) -> ExitStatus:
    """The exit status of the doctor; unknown when there is no verdict."""
    return worst(map(exit_status, verdicts))


_NOTHING_REACHED = (VerdictCode.OFFLINE, VerdictCode.PROXY_NEEDED)
_ADDS_NOTHING = (
    VerdictCode.AS_THE_OUTCOME_SAYS,
    VerdictCode.WORKER_FAILS,
    VerdictCode.VARIABLE_MISSING,
    VerdictCode.VALUE_MALFORMED,
    VerdictCode.NOT_KNOWN,
    VerdictCode.ALL_GOOD,
    VerdictCode.SLOW,
)
# What a check of the worker's connection can come to, where REST works.
_ABOUT_WORKER = (
    VerdictCode.WORKER_FAILS,
    VerdictCode.WORKER_URL_WRONG,
    VerdictCode.WORKER_URL_BROKEN,
    VerdictCode.WORKER_PORT_BLOCKED,
    VerdictCode.WORKER_NOT_TLS,
    VerdictCode.WORKER_NOT_ENCRYPTED,
)
# Only the canary finds these: the doctor does not write for an alert, but the console may know.
_ABOUT_LIMITS = (
    VerdictCode.SUSPENDED,
    VerdictCode.SUSPENDED_FOR_BANDWIDTH,
    VerdictCode.QUOTA_BEHIND_PING,
    VerdictCode.DATABASE_FULL,
)
_SHOWN_BY_CANARY = frozenset({Fact.KEY_NOT_ALLOWED, Fact.DELETE_NOT_ALLOWED, Fact.FOUND_BY_CANARY})
_TOLD_OF_FINE_CHECKS = frozenset({Fact.KEY_NOT_ALLOWED, Fact.DELETE_NOT_ALLOWED, Fact.CERTIFICATE_ENDS_SOON})
# The layer at which a check with this outcome ended. What is not here ended at PING.
_LAYER_OF = {
    **dict.fromkeys((one for one in Outcome if one.family is Family.CONFIGURATION), Layer.CONFIGURATION),
    Outcome.DNS_NOT_FOUND: Layer.LOOKUP,
    Outcome.DNS_FAILED: Layer.LOOKUP,
    **dict.fromkeys(NO_CONNECTION, Layer.CONNECTION),
    Outcome.TLS_TIMEOUT: Layer.ENCRYPTION,
    Outcome.TLS_FAILED: Layer.ENCRYPTION,
    Outcome.TOKEN_REJECTED: Layer.TOKEN,
    Outcome.OFFLINE: Layer.CONNECTIVITY,
}


def _layers_of(check: Check) -> LayerResults:
    """What the check showed of the layers: the one at which it ended, and those that must have passed."""
    outcome, facts = check.outcome, check.facts
    states = _other_layers(check)
    if Fact.FOUND_BY_WORKER in facts:
        ended = Layer.WORKER
    elif facts & _SHOWN_BY_CANARY:
        ended = Layer.WRITING
    else:
        ended = _LAYER_OF.get(outcome, Layer.PING)
    if ended in (Layer.WORKER, Layer.WRITING):
        states |= dict.fromkeys((Layer.TOKEN, Layer.PING), LayerState.PASSED)
    states[ended] = LayerState.FAILED if outcome.family.is_failing else LayerState.PASSED
    # A slow answer has passed all the same.
    outcomes = {ended: outcome if outcome.family.is_failing else None}
    if outcome is Outcome.SLOW:
        outcomes[Layer.PING] = outcome
    return LayerResults(
        database=check.database,
        layers=tuple(
            LayerResult(
                layer=layer,
                state=states[layer],
                detail=check.detail if layer is ended else "",
                outcome=outcomes.get(layer),
                facts=facts if layer is ended else frozenset(),
            )
            for layer in Layer
            if layer in states
        ),
    )


def _other_layers(check: Check) -> dict[Layer, LayerState]:
    """What a check knows beside the layer at which it ended."""
    facts = check.facts
    states: dict[Layer, LayerState] = {}
    if check.phases.connect is not None:
        states[Layer.CONNECTION] = LayerState.PASSED
    if facts & {Fact.NETWORK_REACHED, Fact.NOTHING_REACHED}:
        is_there = Fact.NETWORK_REACHED in facts
        states[Layer.CONNECTIVITY] = LayerState.PASSED if is_there else LayerState.FAILED
    if facts & {Fact.WORKER_ANSWERS, Fact.WORKER_FAILS_TOO}:
        states[Layer.WORKER] = LayerState.PASSED if Fact.WORKER_ANSWERS in facts else LayerState.FAILED
    return states
