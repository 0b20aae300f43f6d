"""The words of a verdict: what it means, whose move it is, at most three steps. One table, for all who show it.

Sentences are templates: the variables that are named are this database's own, and steps that need Upstash's
console, its status page, Railway or a worker's service are given only where the database has them. A step that
more than one entry gives is a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from monitor.checks.observation import Outcome
from monitor.diagnosis.verdicts import DatabaseProfile, HostKind, Platform, Verdict, VerdictCode, judge_outcome
from monitor.lib.language import ENGLISH, Language

_MOST_STEPS = 3
# In place of a database's name, in what is said of several.
EACH_OF_THEM = "each of them"


class WhoseMove(Enum):
    """Who can put it right. JSON carries the value, messages and the terminal the words."""

    YOURS = "yours"
    UPSTASH = "upstash"
    YOURS_THEN_UPSTASH = "yours_then_upstash"
    NETWORK = "network"
    NOBODY = "nobody"

    @property
    def words(self) -> str:
        """What stands after `whose move:`."""
        return _WORDS_OF_MOVE[self]

    @property
    def as_move(self) -> str:
        """What the first line of a message ends with; empty for nobody's."""
        return _AS_MOVE[self]


_WORDS_OF_MOVE = {
    WhoseMove.YOURS: "yours",
    WhoseMove.UPSTASH: "Upstash",
    WhoseMove.YOURS_THEN_UPSTASH: "yours, then Upstash",
    WhoseMove.NETWORK: "the network on the way",
    WhoseMove.NOBODY: "nobody",
}
_AS_MOVE = {
    WhoseMove.YOURS: "your move",
    WhoseMove.UPSTASH: "Upstash's move",
    WhoseMove.YOURS_THEN_UPSTASH: "your move, then Upstash's",
    WhoseMove.NETWORK: "the network's move",
    WhoseMove.NOBODY: "",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """One sentence on the meaning, whose move it is, and at most three steps."""

    meaning: str
    whose_move: WhoseMove
    next_steps: tuple[str, ...]


def word(verdict: Verdict, language: Language = ENGLISH) -> Advice:
    """The verdict in words, for the database that it is about."""
    is_of_token = verdict.outcome is Outcome.TOKEN_MALFORMED and verdict.code in _OF_TOKEN
    entry = _OF_TOKEN[verdict.code] if is_of_token else _BY_CODE.get(verdict.code)
    if entry is None:
        # These codes say no more than the outcome does; without one there is nothing to say.
        entry = _BY_OUTCOME[verdict.outcome] if verdict.outcome else _BY_CODE[VerdictCode.NOT_KNOWN]
    profile = verdict.profile
    move = entry.whose_move
    if not profile.is_upstash and move in (WhoseMove.UPSTASH, WhoseMove.YOURS_THEN_UPSTASH):
        move = WhoseMove.YOURS
    meaning = entry.meaning if profile.is_upstash or not entry.elsewhere else entry.elsewhere
    if verdict.code is VerdictCode.WORKER_FAILS:
        # The same database answers over REST.
        move = _UNSURE if move is _UPSTASH else move
    if verdict.code in _BY_CONSOLE and verdict.outcome is not Outcome.SUSPENDED and profile.is_upstash:
        meaning = _BY_CONSOLE[verdict.code]
    fill = _filler(profile, language)
    meaning = fill(meaning)
    if verdict.code is VerdictCode.WORKER_FAILS:
        meaning = f"{language.say(_REST_WORKS)} {meaning}"
    steps = [fill(step.text_for(profile)) for step in entry.steps if step.is_for(profile)]
    return Advice(meaning=meaning, whose_move=move, next_steps=tuple(steps[:_MOST_STEPS]))


def advise(outcome: Outcome, profile: DatabaseProfile) -> Advice:
    """The words for an outcome of which no more is known."""
    return word(judge_outcome(outcome, profile))


@dataclass(frozen=True, slots=True)
class _Step:
    """`at_vercel` is said in place of `text` for a name of Vercel's, which no page of the console shows."""

    text: str
    is_for: Callable[[DatabaseProfile], bool] = lambda _profile: True
    at_vercel: str = ""

    def text_for(self, profile: DatabaseProfile) -> str:
        return self.at_vercel if self.at_vercel and profile.host_kind is HostKind.VERCEL_KV else self.text


@dataclass(frozen=True, slots=True)
class _Entry:
    """`elsewhere` is the meaning for a server that is not Upstash's; empty where it is the same."""

    whose_move: WhoseMove
    meaning: str
    steps: tuple[_Step, ...]
    elsewhere: str = ""


def _entry(whose_move: WhoseMove, meaning: str, *steps: str | _Step, elsewhere: str = "") -> _Entry:
    wrapped = tuple(_Step(step) if isinstance(step, str) else step for step in steps)
    return _Entry(whose_move, meaning, wrapped, elsewhere)


def _upstash(text: str, *, at_vercel: str = "") -> _Step:
    return _Step(text, lambda profile: profile.is_upstash, at_vercel)


def _elsewhere(text: str) -> _Step:
    return _Step(text, lambda profile: not profile.is_upstash)


def _on_railway(text: str) -> _Step:
    return _Step(text, lambda profile: profile.platform is Platform.RAILWAY)


def _on_kind(text: str, *kinds: HostKind) -> _Step:
    return _Step(text, lambda profile: profile.host_kind in kinds)


def _with_fix(text: str) -> _Step:
    return _Step(text, lambda profile: profile.is_upstash and bool(profile.service))


def _filler(profile: DatabaseProfile, language: Language) -> Callable[[str], str]:
    """Puts a template into the language, and the database's own names into it."""
    say = language.say
    name = say(EACH_OF_THEM) if profile.database == EACH_OF_THEM else profile.database
    url, token = profile.url_variable, profile.token_variable
    both = say("`url` and `token` of {database} in the settings file", database=name)
    if url or token:
        both = say("{url} and {token}", url=url or "`url`", token=token or "`token`")
    names = {
        "both": both,
        "url": url or say("`url` of {database} in the settings file", database=name),
        "token": token or say("`token` of {database} in the settings file", database=name),
        "worker": say("service {service}", service=profile.service) if profile.service else say("the worker"),
        "its_token": token or say("the token"),
        "its_both": say("{url} and {token}", url=url, token=token) if url and token else say("URL and token"),
        "proxy": profile.proxy_variable or say("a proxy's variable"),
        "canary_keys": f"~{profile.canary_prefix}*",
    }
    return lambda text: say(text, **names)


_YOURS, _UPSTASH, _UNSURE = WhoseMove.YOURS, WhoseMove.UPSTASH, WhoseMove.YOURS_THEN_UPSTASH
_NETWORK, _NOBODY = WhoseMove.NETWORK, WhoseMove.NOBODY

_REST_WORKS = "REST works, rediss:// does not."
_COPY_AT_VERCEL = "Copy both from the project's Storage page at Vercel into {both}."
_COPY_URL = _upstash(
    "Copy the REST URL from the database's page in the Upstash console into {url}.", at_vercel=_COPY_AT_VERCEL
)
_SET_URL = _elsewhere("Set {url} to the server's address, https://HOST or http://HOST:PORT.")
_COPY_TOKEN = _upstash(
    "Copy the REST token from the database's page in the Upstash console into {token}.", at_vercel=_COPY_AT_VERCEL
)
_SET_TOKEN = _elsewhere("Set {token} to the token that the server was given.")
_COPY_BOTH = _upstash(
    "Copy URL and token of one database in the Upstash console into {both}.", at_vercel=_COPY_AT_VERCEL
)
_COMPARE_URL = _upstash(
    "Compare {url} with the REST URL on the database's page in the Upstash console.",
    at_vercel="Compare {url} with the REST URL on the project's Storage page at Vercel.",
)
_COMPARE_ADDRESS = _elsewhere("Compare {url} with the address that the server listens on.")
_WHO_RESET = _upstash("If it worked before, ask who reset the credentials: that revokes every older token.")
_STATUS_PAGE = _upstash("See whether Upstash knows of it: https://status.upstash.com.")
_SERVER_LOG = _elsewhere("Read the log of the server that answers at this address, and of what stands before it.")
_IS_RUNNING = _elsewhere("See whether the server runs, and on which port it listens.")
_LISTENS_ON_IPV6 = _Step(
    "On Railway's private network the server must listen on IPv6 too (`::`), not on 0.0.0.0 alone.",
    lambda profile: profile.host_kind is HostKind.RAILWAY_PRIVATE and profile.is_inside,
)
_USAGE_PAGE = _upstash("Look at the console's usage page: throttled commands or bandwidth show there.")
_SUPPORT = _upstash("If nothing is posted there, write to Upstash support with the times of this incident.")
_ADDRESS_LIST = _elsewhere("If only certain addresses are let in, check that this service's is among them.")
_ALLOWLIST = _upstash("If the database has an IP allowlist, check that this service's outbound address is on it.")
_FIXED_ADDRESS = _on_railway("On Railway a fixed outbound address needs the Pro plan and a deployment.")
_NO_PORT = _upstash("Take the port out of {url}: REST is on 443.")
_RENEW = _elsewhere("Renew the server's certificate.")
_DEPLOY_HERE = _on_railway(
    "On Railway deploy the staged change; sealed variables are not copied between services."
)
_DEPLOY_WORKER = _Step("A worker that reads the same value needs the same change, and a deployment.")
_NO_QUOTES = _Step("Write the value alone: no quotes, no spaces, no NAME= in front.")
_MACHINE_NETWORK = _Step("Check the network of the machine or container that runs the monitor.")
_OUTBOUND_IPV6 = _on_railway("On Railway outbound IPv6 is off unless it is turned on for the service.")
_WAIT_FOR_RESET = _upstash("Upgrade the plan in the Upstash console, or wait until the limit is reset.")
_RAISE_LIMIT = _elsewhere("Upgrade the plan or raise the limit, or wait until it is reset.")
_WHAT_USES_IT = _upstash("See on the console's usage page what uses so much.")
_IS_USER_ON = _Step("If it was made for an ACL user (ACL RESTTOKEN), see whether it still exists and is on.")
_DEPLOY_STAGED = _Step("Deploy the staged change of {worker}.")
_ITS_BOTH = _Step("Set {its_both} on {worker}, and deploy.")
_FIX = _with_fix("With a console key and a Railway token, `upstash-monitor doctor --fix` does it for the worker.")
_REST_CLIENT = _Step("Or let the worker use the REST client, as this monitor does.")
_CA_BUNDLE = _Step("Check which proxy inspects TLS here, or the CA certificates of this machine (SSL_CERT_FILE).")
_PROXY_ON_THE_WAY = _Step("Look for a proxy or firewall on the way that answers in its place.")
_DETAIL_SAYS = _Step("The detail is the database's own text.")

_BY_OUTCOME: dict[Outcome, _Entry] = {
    Outcome.OK: _entry(_NOBODY, "The database answers."),
    Outcome.SLOW: _entry(
        _UNSURE,
        "The database answers, but slower than the limit set for it.",
        "See where the time goes (check --json): wait is database and network, the rest network alone.",
        _USAGE_PAGE,
        _STATUS_PAGE,
        _SERVER_LOG,
    ),
    Outcome.URL_MISSING: _entry(_YOURS, "There is no URL to check.", _COPY_URL, _SET_URL, _DEPLOY_HERE),
    Outcome.TOKEN_MISSING: _entry(
        _YOURS, "There is no token to log in with.", _COPY_TOKEN, _SET_TOKEN, _DEPLOY_HERE
    ),
    Outcome.URL_MALFORMED: _entry(
        _YOURS,
        "The URL cannot be a REST URL as it stands, so nothing was sent.",
        _COPY_URL,
        _SET_URL,
        _NO_QUOTES,
        _DEPLOY_WORKER,
    ),
    Outcome.TOKEN_MALFORMED: _entry(
        _YOURS,
        "The token cannot be right as it stands, so nothing was sent.",
        _COPY_TOKEN,
        _SET_TOKEN,
        "Write the token alone: no quotes, no spaces, no `Bearer` and no NAME= in front.",
        _DEPLOY_WORKER,
    ),
    Outcome.TOKEN_REJECTED: _entry(
        _YOURS,
        "The database was reached and does not accept this token.",
        _COPY_BOTH,
        _SET_TOKEN,
        _DEPLOY_WORKER,
        _WHO_RESET,
    ),
    Outcome.PERMISSION_DENIED: _entry(
        _YOURS,
        "Host and token are right, but this token's user may not run the command.",
        "Grant the command to the ACL user, or use a token that may run it.",
        "If a read-only token was meant, check that the worker only reads.",
    ),
    Outcome.QUOTA_EXCEEDED: _entry(
        _YOURS,
        "The plan's number of commands is used up; commands are refused.",
        _WAIT_FOR_RESET,
        _WHAT_USES_IT,
        _RAISE_LIMIT,
        _SERVER_LOG,
    ),
    Outcome.SUSPENDED: _entry(
        _YOURS,
        "Upstash has suspended the database or the account.",
        _upstash("Open the Upstash console: raise the budget, or settle the bill."),
        _upstash("A database on a fixed plan has no budget limit."),
        _SERVER_LOG,
        elsewhere="The server answers that the database is suspended.",
    ),
    Outcome.CAPACITY_FULL: _entry(
        _YOURS,
        "The database is full: it reads and deletes, but refuses writes.",
        "Delete keys that are not needed, set expiries, or turn on eviction where keys may be lost.",
        _upstash("Upgrade to a plan with more storage."),
        _elsewhere("Raise maxmemory."),
    ),
    Outcome.RATE_LIMITED: _entry(
        _YOURS,
        "The service asks for fewer requests.",
        "Look at what sends so many requests; lengthen the interval if it is this monitor.",
        _STATUS_PAGE,
    ),
    Outcome.TOO_MANY_CONNECTIONS: _entry(
        _YOURS,
        "The database has as many connections as it may have, and takes no more.",
        "Look for clients that open connections and never close them; one pool for each process is enough.",
        _upstash("The plan's limit stands in the Upstash console; the REST client needs no lasting connection."),
        _elsewhere("Raise maxclients."),
    ),
    Outcome.DNS_NOT_FOUND: _entry(
        _YOURS,
        "The host name does not exist: mistyped, or the database was deleted, archived or has expired.",
        _COMPARE_URL,
        _upstash("A free database idle for a month is archived; restoring it gives a new URL and token."),
        _COMPARE_ADDRESS,
        elsewhere="The host name does not exist.",
    ),
    Outcome.DNS_FAILED: _entry(
        _YOURS,
        "The resolver failed or did not answer, so the host name could not be looked up.",
        "Check the resolver of this machine or container: do other names resolve?",
        _on_railway("On Railway, redeploy the service if its DNS stays broken."),
    ),
    Outcome.CONNECTION_REFUSED: _entry(
        _UNSURE,
        "The connection was refused: nothing listens there, or a firewall answers in its place.",
        _upstash("Check the port in {url}: REST is on 443, so none is needed."),
        _STATUS_PAGE,
        _IS_RUNNING,
        _LISTENS_ON_IPV6,
        _COMPARE_ADDRESS,
    ),
    Outcome.NETWORK_UNREACHABLE: _entry(
        _YOURS,
        "This machine has no route to the host; nothing is known of the database.",
        _MACHINE_NETWORK,
        _OUTBOUND_IPV6,
    ),
    Outcome.CONNECTION_TIMEOUT: _entry(
        _NETWORK,
        "No connection stood before the deadline: packets are dropped, or the host is down.",
        _STATUS_PAGE,
        _ALLOWLIST,
        _IS_RUNNING,
        "Check the firewalls between this machine and the host.",
    ),
    Outcome.TLS_TIMEOUT: _entry(
        _UNSURE,
        "The connection stood, but the TLS handshake did not end before the deadline.",
        _STATUS_PAGE,
        _SERVER_LOG,
        "Check the way there: an MTU that is too large and inspection of TLS both look like this.",
    ),
    Outcome.TLS_FAILED: _entry(
        _UNSURE,
        "The connection could not be encrypted.",
        "Read the detail: it says what is wrong with the certificate or the handshake.",
        _CA_BUNDLE,
    ),
    # Whoever is on the way can cut a connection or keep an answer: this alone is no fault of Upstash's.
    Outcome.CONNECTION_LOST: _entry(
        _UNSURE,
        "The connection stood and was cut before the answer was complete.",
        _STATUS_PAGE,
        _SERVER_LOG,
        "Check for a proxy or firewall that cuts connections.",
        _ALLOWLIST,
    ),
    Outcome.RESPONSE_TIMEOUT: _entry(
        _UNSURE,
        "The host was reached, but the answer was not there before the deadline.",
        _STATUS_PAGE,
        _USAGE_PAGE,
        _SERVER_LOG,
        "Look at the history: did the latency rise before?",
    ),
    Outcome.SERVER_ERROR: _entry(
        _UPSTASH, "The service answered that it has a fault of its own.", _STATUS_PAGE, _SUPPORT, _SERVER_LOG
    ),
    Outcome.UNAVAILABLE: _entry(
        _UPSTASH,
        "The database answers that it cannot serve now, as while it loads or fails over.",
        _STATUS_PAGE,
        "It often passes by itself; if not, the detail is the database's own text.",
        _elsewhere("MISCONF: it cannot save to its disk. READONLY: this is a replica; write to its primary."),
        _SERVER_LOG,
        elsewhere="The database answers that it cannot serve now; the detail says why.",
    ),
    Outcome.STALE_READ: _entry(
        _UNSURE,
        "A key was written and not read back as written: a replica lags behind, or keys are evicted.",
        _upstash("See in the console whether the database is full with eviction on: new keys may go at once."),
        _STATUS_PAGE,
        _elsewhere("See whether reads go to a replica, and whether maxmemory evicts keys."),
        "A worker that reads what it has just written meets the same.",
    ),
    Outcome.ACCESS_DENIED: _entry(
        _YOURS,
        "Something at the address, or on the way to it, does not let this caller through.",
        _ALLOWLIST,
        _FIXED_ADDRESS,
        _ADDRESS_LIST,
        _SERVER_LOG,
        _PROXY_ON_THE_WAY,
    ),
    Outcome.NOT_UPSTASH: _entry(
        _YOURS,
        "Something answers at this address that is no Upstash database.",
        _COMPARE_URL,
        _COMPARE_ADDRESS,
        _PROXY_ON_THE_WAY,
        elsewhere="Something answers at this address that is no Redis REST server.",
    ),
    Outcome.COMMAND_ERROR: _entry(
        _UNSURE, "The database was reached and refused the command with an error of its own.", _DETAIL_SAYS
    ),
    Outcome.OFFLINE: _entry(
        _YOURS,
        "Neither the host nor a connectivity host answers: our own network seems to be down.",
        _MACHINE_NETWORK,
        "If a firewall here lets nearly nothing out, set `connectivity` to hosts that it lets through.",
    ),
    Outcome.MONITOR_ERROR: _entry(
        _YOURS,
        "The monitor itself failed; nothing is known about the database.",
        "Where the detail names a limit of this process or machine, raise it (`ulimit -n`).",
        "Else read the monitor's log around this time and report it as a bug.",
    ),
}

# Where the database itself does not say so.
_BY_CONSOLE = {
    VerdictCode.SUSPENDED: "The Upstash console says that the database is suspended.",
    VerdictCode.SUSPENDED_FOR_BANDWIDTH: (
        "The Upstash console says that the database is suspended, and that its bandwidth is used up."
    ),
}
# Where the URL, which is inspected first, is in order.
_OF_TOKEN = {
    VerdictCode.VALUE_IS_A_PLACEHOLDER: _entry(
        _YOURS,
        "A placeholder stands where the token belongs, so nothing was sent.",
        _COPY_TOKEN,
        _SET_TOKEN,
        _DEPLOY_HERE,
    ),
    VerdictCode.VALUE_IS_MASKED: _entry(
        _YOURS,
        "The token was copied from a field that hides it: only the mask came along, so nothing was sent.",
        _upstash("Use the copy button beside the field, or show it first; then set {token}."),
        _SET_TOKEN,
        _DEPLOY_WORKER,
    ),
}
# Codes that are not in here say what their outcome says: AS_THE_OUTCOME_SAYS, VARIABLE_MISSING, VALUE_MALFORMED, …
_BY_CODE: dict[VerdictCode, _Entry] = {
    VerdictCode.OFFLINE: _BY_OUTCOME[Outcome.OFFLINE],
    VerdictCode.PROXY_NEEDED: _entry(
        _YOURS,
        "No connection leads out, and {proxy} is set: this monitor connects directly and uses no proxy.",
        "Let this machine connect to the host directly, on the port in {url}.",
        "Or run the monitor where such connections are allowed.",
    ),
    VerdictCode.VARIABLE_STAGED: _entry(
        _YOURS,
        "The variable is set on Railway, but the change is staged and not deployed.",
        _DEPLOY_STAGED,
        "Redeploy this monitor too.",
    ),
    VerdictCode.VALUES_SWAPPED: _entry(
        _YOURS,
        "URL and token stand in each other's place, so nothing was sent.",
        "Swap the values of {both}.",
        _DEPLOY_WORKER,
    ),
    VerdictCode.VALUE_IS_A_PLACEHOLDER: _entry(
        _YOURS,
        "A placeholder stands where the URL belongs, so nothing was sent.",
        _COPY_URL,
        _SET_URL,
        "See that {token} is no placeholder as well.",
        _DEPLOY_HERE,
    ),
    VerdictCode.VALUE_IS_MASKED: _entry(
        _YOURS,
        "The URL was copied from a field that hides it: only the mask came along, so nothing was sent.",
        _upstash("Use the copy button beside the field, or show it first; then set {url}."),
        _SET_URL,
        "See that {token} was not copied so as well.",
        _DEPLOY_WORKER,
    ),
    VerdictCode.REDIS_PORT_IN_URL: _entry(
        _YOURS,
        "The URL names the port of rediss://, where REST does not answer; nothing was sent.",
        _NO_PORT,
        _DEPLOY_WORKER,
    ),
    VerdictCode.REST_VALUE_MANGLED: _entry(
        _YOURS,
        "The REST value is mangled; rediss:// works all the same, because URL parsers drop what is wrong.",
        "Copy the value again into {both}, without newline, quotes or spaces.",
        _DEPLOY_HERE,
    ),
    VerdictCode.NEW_TOKEN_NOT_DEPLOYED: _entry(
        _YOURS,
        "The right values are set on {worker}, but the change is staged and not deployed.",
        _DEPLOY_STAGED,
        "Give this monitor the new token too, if it has another.",
    ),
    VerdictCode.WORKER_TOKEN_WORKS: _entry(
        _YOURS,
        "The worker has a token that works; only this monitor's is another, and is refused.",
        "Set {token} of this monitor to a token that is accepted; leave the worker's as it is.",
    ),
    VerdictCode.MONITOR_HAS_AN_OLD_TOKEN: _entry(
        _YOURS,
        "The worker has the console's token; only this monitor's is another, and is refused.",
        "Set {token} of this monitor to the console's REST token and deploy.",
    ),
    VerdictCode.ACL_USER_DISABLED: _entry(
        _YOURS,
        "The token is refused: an ACL user's that was switched off or changed, or an old or mistaken one.",
        _IS_USER_ON,
        "Only if it was the database's own: copy the console's, which has full rights, into {token}.",
        _DEPLOY_WORKER,
    ),
    VerdictCode.WORKER_HAS_AN_OLD_TOKEN: _entry(
        _YOURS,
        "The database refuses the token here, and the console has another one.",
        "Set {its_token} of {worker} to the console's REST token and deploy, unless it was an ACL user's.",
        "Give this monitor the same token ({token}).",
        _FIX,
    ),
    VerdictCode.CONSOLE_TOKEN_REFUSED: _entry(
        _UPSTASH,
        "The token is the console's own, and the database refuses it all the same.",
        "Wait a minute and check again: a reset may not have reached every region yet.",
        _upstash("Then write to Upstash support with the time of this check."),
    ),
    VerdictCode.CONSOLE_HIDES_TOKEN: _entry(
        _YOURS,
        "The token is refused, and the console does not show the right one: its credentials are protected.",
        "Take the token from where it was kept when the database was made, into {token}.",
        "Only if it is lost: a reset in the console makes a new one, and stops everything that uses the old.",
    ),
    VerdictCode.TOKEN_OF_ANOTHER_DATABASE: _entry(
        _YOURS,
        "The token is refused, and seems to belong to another database than the URL.",
        _COPY_BOTH,
        _SET_TOKEN,
        _ITS_BOTH,
    ),
    VerdictCode.TOKEN_IS_A_PASSWORD: _entry(
        _YOURS,
        "The token looks like the password of an older database, which differs from its REST token.",
        "Copy the token from the REST section of the database's page in the console into {token}.",
    ),
    VerdictCode.REST_TOKEN_WRONG: _entry(
        _YOURS,
        "REST rejects the value that rediss:// accepts: it is the password, and the REST token is another.",
        _upstash("Copy the REST token, not the password, from the console's page into {token}."),
        _SET_TOKEN,
    ),
    VerdictCode.TOKEN_STALE: _BY_OUTCOME[Outcome.TOKEN_REJECTED],
    VerdictCode.NAME_FILTERED: _entry(
        _YOURS,
        "The host's name leads to this machine itself: a DNS filter or a hosts file holds it back.",
        "Take the name off the filter (Pi-hole, AdGuard, a hosts file), or use another resolver.",
    ),
    VerdictCode.PRIVATE_NAME: _entry(
        _YOURS,
        "The host's name is a private one, which only the network that it belongs to knows.",
        _on_kind(
            "Run the monitor in the same Railway project and environment as the server.", HostKind.RAILWAY_PRIVATE
        ),
        _on_kind(
            "Run the monitor on Fly, in the organization that the database belongs to.",
            HostKind.FLY_PRIVATE,
            HostKind.UPSTASH_ON_FLY,
        ),
        _on_kind(
            "Run the monitor in the network that knows the name: of the same containers, cluster or machine.",
            HostKind.PRIVATE,
        ),
        _COMPARE_ADDRESS,
        "Or use a public address of the database in {url}, if it has one.",
    ),
    VerdictCode.KV_NAME_GONE: _entry(
        _YOURS,
        "The host is one of Vercel KV, which has ended; its databases were moved to Upstash under other names.",
        _COPY_AT_VERCEL,
        _DEPLOY_WORKER,
    ),
    VerdictCode.DATABASE_GONE: _entry(
        _YOURS,
        "The host does not exist, and the console knows no such database: deleted, archived, or mistyped.",
        _COMPARE_URL,
        "An archived database is restored there, with a new URL and token.",
        _ITS_BOTH,
    ),
    VerdictCode.SUSPENDED_FOR_BANDWIDTH: _entry(
        _YOURS,
        "Upstash has suspended the database: its bandwidth is used up.",
        _WAIT_FOR_RESET,
        _RAISE_LIMIT,
        "Look for large values that are read often; they cost bandwidth.",
        elsewhere="The server answers that the database is suspended: its bandwidth is used up.",
    ),
    VerdictCode.SUSPENDED: _BY_OUTCOME[Outcome.SUSPENDED],
    VerdictCode.BANDWIDTH_USED_UP: _entry(
        _YOURS,
        "The plan's bandwidth is used up; commands are refused.",
        _WAIT_FOR_RESET,
        _WHAT_USES_IT,
        _RAISE_LIMIT,
        _SERVER_LOG,
    ),
    VerdictCode.DAILY_LIMIT_REACHED: _entry(
        _YOURS,
        "The day's number of commands is used up; commands are refused until the next day.",
        _WAIT_FOR_RESET,
        _WHAT_USES_IT,
        _RAISE_LIMIT,
        _SERVER_LOG,
    ),
    VerdictCode.QUOTA_BEHIND_PING: _entry(
        _YOURS,
        "The plan's commands are used up: PING still answers, real commands do not.",
        _WAIT_FOR_RESET,
        _WHAT_USES_IT,
        _RAISE_LIMIT,
        _SERVER_LOG,
    ),
    VerdictCode.DATABASE_FULL: _BY_OUTCOME[Outcome.CAPACITY_FULL],
    VerdictCode.TOKEN_READ_ONLY: _entry(
        _YOURS,
        "The token may not write: it is a read-only one, or its user may not run SET.",
        "If the worker writes, give it a token that may, or grant the command to its ACL user.",
        "If reading is all that is meant, turn the canary off (canary: off) for this database.",
    ),
    VerdictCode.PROVIDER_TROUBLE: _entry(
        _UPSTASH,
        "Upstash has posted trouble with Redis on its status page, and the database cannot be used.",
        "Watch https://status.upstash.com.",
        "Keep the times of this incident for a claim.",
    ),
    VerdictCode.ADDRESS_NOT_ALLOWED: _entry(
        _YOURS,
        "The database has an IP allowlist and does not let us through: this address is probably not on it.",
        "Compare the service's outbound address with the allowlist in the Upstash console.",
        _FIXED_ADDRESS,
    ),
    VerdictCode.NO_ROUTE: _BY_OUTCOME[Outcome.NETWORK_UNREACHABLE],
    VerdictCode.ONE_FAMILY_FAILS: _entry(
        _NETWORK,
        "Only one of IPv4 and IPv6 gets through to the host; the layers say which does not.",
        "Turn off the family that fails on this machine, or put its way right (route, firewall, MTU).",
        _OUTBOUND_IPV6,
    ),
    VerdictCode.BLOCKED_OR_DOWN: _entry(
        _NETWORK,
        "The host cannot be reached while our own network is fine: Upstash is down, or we are blocked.",
        _STATUS_PAGE,
        _ALLOWLIST,
        _IS_RUNNING,
        elsewhere="The host cannot be reached while our own network is fine: it is down, or we are blocked.",
    ),
    VerdictCode.NOT_TLS: _entry(
        _YOURS,
        "The port in the URL does not speak TLS.",
        _NO_PORT,
        _elsewhere("Use the port on which the server speaks https, or http:// in {url} where it has no TLS."),
        _elsewhere("A Redis port is none of the two: REST needs a REST server before it."),
    ),
    VerdictCode.CERTIFICATE_UNTRUSTED: _entry(
        _YOURS,
        "The host's certificate comes from an authority that this machine does not trust.",
        _CA_BUNDLE,
        _COMPARE_URL,
    ),
    VerdictCode.CERTIFICATE_OUT_OF_DATE: _entry(
        _UNSURE,
        "The host's certificate has expired, or is not valid yet by this machine's clock.",
        "Check the clock of this machine.",
        _STATUS_PAGE,
        _RENEW,
    ),
    VerdictCode.CERTIFICATE_OF_ANOTHER_NAME: _entry(
        _YOURS,
        "The certificate is for another name: something else answers at this address.",
        _COMPARE_URL,
        _COMPARE_ADDRESS,
        _PROXY_ON_THE_WAY,
    ),
    VerdictCode.PROXY_ASKS_LOGIN: _entry(
        _YOURS,
        "A proxy on the way asks for a login of its own (407).",
        "Let this machine reach the host without the proxy, or have the proxy let it through.",
    ),
    VerdictCode.PORTAL: _entry(
        _YOURS,
        "The network asks to log in first (511), as hotels and guest networks do.",
        "Log in to the network, or use another.",
    ),
    VerdictCode.BLOCKED_BY_LAW: _entry(
        _YOURS,
        "Access is blocked for legal reasons (451).",
        "See in which country this service runs, and whether the provider serves it.",
        _upstash("Ask Upstash support."),
    ),
    VerdictCode.LOGIN_WALL: _entry(
        _YOURS,
        "Something else answers in the database's place: a proxy, a login or a portal.",
        _COMPARE_URL,
        _COMPARE_ADDRESS,
        _PROXY_ON_THE_WAY,
        _elsewhere("Some servers answer like this to a wrong token: compare {token} with the server's."),
    ),
    VerdictCode.REDIRECT_TO_HTTPS: _entry(
        _YOURS,
        "The address redirects to https:// of the same host, which a command does not follow.",
        "Write https:// in {url}.",
        _DEPLOY_WORKER,
    ),
    VerdictCode.REDIRECT: _entry(
        _YOURS,
        "The address answers with a redirect, which a command does not follow; see the detail.",
        _COMPARE_URL,
        _COMPARE_ADDRESS,
        _PROXY_ON_THE_WAY,
    ),
    VerdictCode.REQUEST_TOO_LARGE: _entry(
        _YOURS,
        "The database refuses a request, record or key that is larger than the plan allows.",
        _DETAIL_SAYS,
        "Split what is stored into smaller values.",
    ),
    VerdictCode.COMMAND_NOT_OVER_REST: _entry(
        _YOURS, "The command is not available over REST, or not on this server.", _DETAIL_SAYS
    ),
    VerdictCode.ERROR_UNKNOWN: _entry(
        _UNSURE,
        "The command was answered with an error that is not in our list; the detail has its text.",
        "Read the detail: it is the text of whoever answers at the address, and may be about this caller.",
        "If it is new, tell the makers of this monitor.",
    ),
    VerdictCode.OTHER_DATABASE: _entry(
        _YOURS,
        "The database works, but it is not one of this console account's.",
        "Check that URL and token are those of the database you mean.",
    ),
    VerdictCode.WORKER_VARIABLE_MISSING: _entry(
        _YOURS, "URL and token work here, but {worker} does not have them.", _ITS_BOTH, _FIX
    ),
    VerdictCode.WORKER_USER_DISABLED: _entry(
        _YOURS,
        "URL and token work here; {worker}'s token is refused, and may be an ACL user's that was switched off.",
        _IS_USER_ON,
        _upstash("Only if it was the database's own: set {its_token} of {worker} to the console's, and deploy."),
        _elsewhere("Or set {its_token} of {worker} to a token that is accepted, and deploy."),
    ),
    VerdictCode.WORKER_VALUE_DIFFERS: _entry(
        _YOURS,
        "URL and token work here, but {worker} has other values.",
        "Set {its_both} of {worker} to values that work, and deploy.",
        _FIX,
    ),
    VerdictCode.WORKER_LEGACY_PORT: _entry(
        _YOURS,
        "REST works, and rediss:// only on the port of older databases, the number in the host's name.",
        "Build the worker's URL with that port in place of 6379.",
    ),
    VerdictCode.WORKER_READ_ONLY: _entry(
        _YOURS,
        "The token is a read-only one, and rediss:// takes it only with the user default_ro.",
        "Build the worker's URL as rediss://default_ro:TOKEN@HOST:6379.",
        "Or give it the standard token, with the user default.",
    ),
    VerdictCode.ACL_USER_TOKEN: _entry(
        _YOURS,
        "REST works. The token is not the console's and not the user default's: it may be an ACL user's own.",
        "A worker that connects by rediss:// needs that user's name in its URL, in place of default.",
        "If no ACL user was meant, compare the token with the console's; nothing need be changed for REST.",
    ),
    VerdictCode.WORKER_URL_WRONG: _entry(
        _YOURS,
        "REST accepts the token and rediss:// does not: the password of an older database, or an ACL user's.",
        _upstash("Copy the rediss:// URL from the database's page in the console into the worker's variable."),
        "An ACL user's token needs that user's name in the worker's URL, in place of default.",
        _REST_CLIENT,
    ),
    VerdictCode.WORKER_URL_BROKEN: _entry(
        _YOURS,
        "REST works, but a rediss:// URL built from these values leads nowhere: a character cuts it short.",
        "Percent-encode the token where the worker builds its URL, and see that the URL is https://HOST.",
        _REST_CLIENT,
    ),
    VerdictCode.WORKER_PORT_BLOCKED: _entry(
        _YOURS,
        "REST works, but no rediss:// connection stands: the worker's port is blocked on the way, or another.",
        "Open the outgoing port for the worker, or let it use the REST client.",
    ),
    VerdictCode.WORKER_NOT_TLS: _entry(
        _YOURS,
        "REST works, and the worker's port was reached, but it does not speak TLS, as rediss:// needs it.",
        "Check that the port is the one of rediss:// (doctor.worker_port).",
        _elsewhere("A Redis without TLS is reached with redis://, in place of rediss://."),
        _REST_CLIENT,
    ),
    VerdictCode.WORKER_NOT_ENCRYPTED: _entry(
        _YOURS,
        "REST works, and the worker's port was reached, but no TLS came about on it; the layers say how it ended.",
        "Check that the port is the one of rediss:// (doctor.worker_port), and what inspects TLS.",
        "A Redis at its limit of connections can say nothing else: see how many there are.",
        _REST_CLIENT,
    ),
    VerdictCode.SLOW: _BY_OUTCOME[Outcome.SLOW],
    VerdictCode.CANARY_KEY_NOT_ALLOWED: _entry(
        _NOBODY,
        "The database works. The token's user may not use the canary's key, so nothing is known about writing.",
        "Let the user SET, GET and DEL {canary_keys}, or set canary_prefix to keys that it may write.",
        "Or turn the canary off for this database (canary: off).",
    ),
    VerdictCode.CANARY_CANNOT_DELETE: _entry(
        _NOBODY,
        "The database works. The token's user may write and not delete; the canary's key expires by itself.",
    ),
    VerdictCode.CERTIFICATE_ENDS_SOON: _entry(
        _UPSTASH,
        "Everything works, and the host's certificate ends within two weeks.",
        _upstash("Upstash renews it as a rule; if that has not happened a few days before, write to its support."),
        _RENEW,
    ),
    VerdictCode.ALL_GOOD: _entry(
        _NOBODY,
        "Everything that can be examined from here works.",
        "If a worker still fails, read its log around its Redis calls: the cause is in its own code.",
    ),
    VerdictCode.NOT_KNOWN: _entry(
        _YOURS,
        "Not enough could be examined to say what is the matter.",
        "Read the layers above; run the doctor again when the network is back.",
    ),
}
