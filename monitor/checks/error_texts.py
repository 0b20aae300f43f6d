"""The error texts that Upstash and Redis are known to answer with, and the outcome that each stands for.

Tails vary between versions and carry figures, beginnings do not. Where a text is known from few reports, the words
that its kind cannot do without are asked for in place of a longer beginning.
Sources: upstash.com/docs/redis/troubleshooting (a page for each), reports of users (Upstash documents no text for
suspension, its allowlist, bandwidth, commands per second, NOPERM and what REST does not have), and Redis's source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from monitor.checks.observation import Fact, Outcome

_DOCS, _REPORT, _REDIS, _ASSUMED = "Upstash's docs", "reports", "Redis", "nobody; what it says is plain"

_ALLOWED = "allowed|allowlist|allowlisted|whitelist|whitelisted"
_SUSPENDED = "|".join(
    f"{what} {how}{for_now}suspended"
    for what in ("database", "account")
    for how in ("", "is ", "was ", "has been ")
    for for_now in ("", "temporarily ")
)
_USED_UP = "exceeded|reached|exhausted"
_COMMANDS = "request|requests|command|commands"
_RATE = "per second|per sec|per minute|ops/sec|commands/sec|requests/sec"
_REST = "REST API|over REST|via REST|with REST|in REST"


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownError:
    """A text by its beginning, in which `#` stands for a number, and the outcome that it means.

    Each of `words` must stand somewhere in the text; `a|b` is one word or the other.
    `is_whole`: nothing but a full stop follows.
    """

    prefix: str
    outcome: Outcome
    facts: frozenset[Fact] = frozenset()
    words: tuple[str, ...] = ()
    is_whole: bool = False
    source: str = _REDIS

    def fits(self, text: str) -> bool:
        """True when this is the error that a server's own text, on one line, begins with."""
        return bool(_beginning(self).match(text)) and all(_word(word).search(text) for word in self.words)


def _known(
    prefix: str,
    outcome: Outcome,
    *facts: Fact,
    words: tuple[str, ...] = (),
    is_whole: bool = False,
    source: str = _REDIS,
) -> KnownError:
    return KnownError(
        prefix=prefix, outcome=outcome, facts=frozenset(facts), words=words, is_whole=is_whole, source=source
    )


# How Redis's errors about the one command that was sent begin: nothing in them is about the database's state.
# From the source of Redis 6.2 and 7 (calls of addReplyError, whose texts get `ERR` in front) and of RedisJSON, and
# from reports of what Upstash's REST answers. `#` stands for a number.
_COMMAND_CODES = """
    WRONGTYPE NOSCRIPT EXECABORT BUSYGROUP BUSYKEY NOGROUP INVALIDOBJ UNBLOCKED CROSSSLOT NOTBUSY UNKILLABLE
    NOPROTO INPROG NOGOODSLAVE NOMASTERLINK NOQUORUM IDONTKNOW IOERR REDIRECT
"""
_COMMAND_TEXTS = """
    A client can only redirect to | ACL GENPASS argument must be | An LFU maxmemory policy is |
    Another child process is active | at least 1 input key |
    AUTH <password> called without any password configured | Background append only file |
    Background save already in progress | Bad data format | BGSAVE failed | bit is not an integer |
    bit offset is not an integer | BITFIELD_RO only supports | BITOP NOT must be called |
    BY option of SORT denied | can only reset normal client connections | Can't assign hashslot |
    Can't execute | Can't forget my master | Can't replicate myself | can't SYNC | Changing directory |
    CLIENT CACHING | Client names cannot contain | CLIENT PAUSE mode |
    Client sent AUTH, but no password is set | CLIENT UNBLOCK reason | CLUSTER RESET can't be called |
    Command is not valid when client is a replica | Command not allowed inside a transaction |
    CONFIG SET failed | Consumer entry not found | Copying to another database is not allowed |
    could not decode requested zset member | could not perform this operation on a key that doesn't exist |
    COUNT can't be negative | COUNT must be | count should be greater than 0 | DB index is out of range |
    DB must be empty | DEBUG command not allowed | decrement would overflow | DISCARD without MULTI |
    DUMP payload version or checksum are wrong | Either use STRINGS or KEYS | Element too large |
    Elements are too large | empty command | Error compiling script | Error in ACL SETUSER |
    Error loading the extension | Error purging dirty pages | Error registering functions |
    Error running script | error saving the cluster node config | Error trying to save the DB |
    Error unloading module | Errors trying to SHUTDOWN | exactly one of | EXEC without MULTI |
    Failed to bind to specified addresses | failed to parse command | FAILOVER | Fork() failed |
    Function already exists in the library | Function code is missing | Function not found |
    GET option of SORT denied | GT and LT options | GT, LT, and/or NX options | hash value is not |
    height or width cannot be negative | HLL encoding is not sparse | I can only replicate a master |
    I don't know about node | I tried hard but I can't forget myself | I'm a replica but my master is unknown |
    I'm already the owner of hash slot | I'm not the owner of hash slot | If you want both the length |
    INCR option supports a single increment-element pair | increment or decrement would overflow |
    increment would produce NaN or Infinity | index out of range | Insufficient memory | Invalid argument |
    Invalid arguments specified for command | Invalid bitfield type | Invalid client ID |
    Invalid CLUSTER SETSLOT action | Invalid command specified | Invalid config epoch specified |
    invalid cursor | invalid DB index | invalid end ID for the interval | invalid expire time |
    invalid first DB index | Invalid FREQ value | Invalid IDLE option | Invalid IDLETIME value |
    invalid longitude,latitude pair | Invalid master port | Invalid node address specified |
    Invalid number of arguments specified for command | Invalid or out of range slot |
    Invalid OVERFLOW type specified | Invalid RETRYCOUNT option | invalid second DB index | Invalid slot |
    invalid start ID for the interval | Invalid stream ID | Invalid TCP base port specified |
    Invalid TCP bus port specified | Invalid TIME option | Invalid TTL value | Library |
    LIMIT can't be negative | Lua redis() command arguments must be | Lua script attempted to |
    Master is down or failed | min or max is not | min or max not valid string range item |
    Missing GROUP option | Missing library metadata | MODULE command not allowed | MONITOR isn't allowed |
    MOVE is not allowed in cluster | MULTI calls can not be nested | need numeric radius |
    new objects must be created at the root | No failover in progress | no permission |
    No samples available for event | No such client | no such key | no such module with that name |
    No such user | Node config epoch is already non-zero | null args are not supported |
    Number of keys can't be | numkeys should be greater than 0 | NX and XX, GT or LT | offset is out of range |
    One or more scores can't be converted | Only CONFIG GET is allowed during loading |
    operation not permitted | OPTIN and OPTOUT are not compatible | Please specify at least one argument |
    Please specify two strings | Please use EVAL instead of EVALSHA | Please use SETSLOT only with masters |
    Prefix | Protocol error | Protocol version is not an integer | PSUBSCRIBE isn't allowed | PSYNC FAILOVER |
    radius cannot be negative | RANK can't be zero | reached lua stack limit | REPLCONF ip-address |
    Replica can't interact with the keyspace | Replica can't interract with the keyspace |
    REPLICAOF not allowed | resulting score is not a number | Rewriting config file |
    SCRIPT DEBUG must be called | SCRIPT FLUSH only support | SELECT is not allowed in cluster mode |
    Slot # is already | Slot # specified | source and destination objects are the same |
    STORE option in GEORADIUS | String too long for LCS | SUBSCRIBE isn't allowed |
    SWAPDB is not allowed in cluster | SYNC and PSYNC are invalid | syntax error |
    Target instance replied with error | TESTFAILED | The $ ID is meaningless |
    The 'default' user cannot be removed | The > ID can be specified only | the ANY argument requires COUNT |
    The bit argument must be 1 or 0 | The client ID you want redirect to | The command has no key arguments |
    The GROUP option is only supported | The ID specified in | The LIMIT argument must be |
    The MAXLEN argument must be | The NOACK option is only supported |
    The server is running without a config file | The specified key does not exist |
    The specified keys must contain string values | The specified node is not a master |
    The stream has exhausted the last possible ID | The user can assign a config epoch |
    The user executing the script | The XGROUP subcommand requires the key |
    There was an error trying to save the ACLs | This instance has cluster support disabled |
    This Redis command is not allowed from | This Redis instance is not configured to use an ACL file |
    timeout is | To set a master the node must be empty | Too many bind addresses | Unbalanced |
    Unknown category | Unknown client type | unknown command | Unknown georadius search type | Unknown node |
    Unknown option or number of | Unknown PFDEBUG subcommand | Unknown Redis command called |
    unknown subcommand | unknown type object | Unrecognized REPLCONF option | Unrecognized XCLAIM option |
    unsupported arg type | Unsupported CONFIG parameter | unsupported unit provided | Use SCRIPT DEBUG |
    User names can't contain | user_script | Usernames can't contain | value is NaN or Infinity | value is not |
    value is out of range | WAIT cannot be used with replica | WATCH inside MULTI is not allowed |
    weight value is not | When using MIGRATE KEYS option |
    Write commands are not allowed from read-only scripts | Write commands not allowed after non deterministic |
    wrong number of args calling | wrong number of arguments | wrong number of keys |
    wrong number or type of arguments | XX and NX options | You can't specify both OPTIN | You can't switch |
    You should send CLUSTER FAILOVER
"""

COMMAND_TEXTS = [" ".join(text.split()) for text in _COMMAND_TEXTS.split("|")]

# Ordered: the first that fits counts, so the longer of two beginnings stands first.
KNOWN_ERRORS: tuple[KnownError, ...] = (
    # The token. The text of a wrong password is the same as that of a user who was switched off.
    _known("WRONGPASS", Outcome.TOKEN_REJECTED, Fact.USER_MAY_BE_DISABLED, words=("user|username",), source=_DOCS),
    _known("WRONGPASS", Outcome.TOKEN_REJECTED, source=_DOCS),
    _known("NOAUTH", Outcome.TOKEN_REJECTED, source=_DOCS),
    _known("Unauthorized", Outcome.TOKEN_REJECTED, is_whole=True, source=_REPORT),
    _known("Unauthorised", Outcome.TOKEN_REJECTED, is_whole=True, source=_REPORT),
    _known("ERR invalid password", Outcome.TOKEN_REJECTED),  # before Redis 6
    _known("NOPERM", Outcome.PERMISSION_DENIED, source=_REPORT),
    # The database's own passing state. Before the texts that are known by words anywhere in them.
    _known("LOADING", Outcome.UNAVAILABLE),
    _known("READONLY", Outcome.UNAVAILABLE),
    _known("MASTERDOWN", Outcome.UNAVAILABLE),
    _known("CLUSTERDOWN", Outcome.UNAVAILABLE),
    _known("TRYAGAIN", Outcome.UNAVAILABLE),
    _known("BUSY", Outcome.UNAVAILABLE),  # and neither BUSYGROUP nor BUSYKEY, which are about one key
    _known("MISCONF", Outcome.UNAVAILABLE),
    _known("NOREPLICAS", Outcome.UNAVAILABLE),
    _known("NOTREADY", Outcome.UNAVAILABLE),  # a node of a cluster while slots move
    # The plan. A size stands before the quotas: its text speaks of a request and a limit too.
    _known("max", Outcome.COMMAND_ERROR, Fact.TOO_LARGE, words=("size", "exceeded"), source=_DOCS),
    _known("", Outcome.SUSPENDED, Fact.BANDWIDTH, words=(_SUSPENDED, "bandwidth"), source=_REPORT),
    _known("", Outcome.SUSPENDED, words=(_SUSPENDED,), source=_REPORT),
    _known("max", Outcome.RATE_LIMITED, words=(_RATE,), source=_REPORT),
    _known(
        "ERR",
        Outcome.QUOTA_EXCEEDED,
        Fact.BANDWIDTH,
        Fact.DAILY_LIMIT,
        words=("daily", "bandwidth", _USED_UP),
        source=_REPORT,
    ),
    _known(
        "ERR",
        Outcome.QUOTA_EXCEEDED,
        Fact.BANDWIDTH,
        words=("bandwidth", _USED_UP),
        source=_REPORT,
    ),
    _known("max daily", Outcome.QUOTA_EXCEEDED, Fact.DAILY_LIMIT, words=("limit|quota",), source=_DOCS),
    _known("ERR", Outcome.QUOTA_EXCEEDED, Fact.DAILY_LIMIT, words=("daily", _COMMANDS, _USED_UP), source=_REPORT),
    _known("max requests limit exceeded", Outcome.QUOTA_EXCEEDED, source=_DOCS),
    _known("max monthly", Outcome.QUOTA_EXCEEDED, words=("limit|quota",), source=_REPORT),
    _known("ERR", Outcome.QUOTA_EXCEEDED, words=("monthly", _COMMANDS, _USED_UP), source=_REPORT),
    *(
        _known(f"max {what} exceeded", Outcome.QUOTA_EXCEEDED, source=_REPORT)
        for what in ("request limit", "commands limit", "command limit", "requests quota", "commands quota")
    ),
    _known("DB capacity quota exceeded", Outcome.CAPACITY_FULL, source=_DOCS),
    _known("OOM", Outcome.CAPACITY_FULL),
    _known("max concurrent connections exceeded", Outcome.TOO_MANY_CONNECTIONS, source=_DOCS),
    _known("max", Outcome.TOO_MANY_CONNECTIONS, words=("connections", _USED_UP), source=_REPORT),
    _known("max number of clients", Outcome.TOO_MANY_CONNECTIONS),
    # An allowlist; before 401 is asked, which would call it a matter of the token.
    _known("", Outcome.ACCESS_DENIED, words=("ip|ips", "not", _ALLOWED), source=_ASSUMED),
    _known("DENIED", Outcome.ACCESS_DENIED, words=("protected mode",)),  # from other machines, without a password
    # What is wrong with the one command that was sent.
    _known("ERR string exceeds maximum allowed size", Outcome.COMMAND_ERROR, Fact.TOO_LARGE),
    _known("ERR Command is not available", Outcome.COMMAND_ERROR, Fact.NOT_OVER_REST, source=_REPORT),
    _known("ERR", Outcome.COMMAND_ERROR, Fact.NOT_OVER_REST, words=("command", "not", _REST), source=_REPORT),
    _known("ERR XReadGroup is cancelled", Outcome.COMMAND_ERROR, source=_DOCS),
    _known("ERR Wrong password or user", Outcome.COMMAND_ERROR, source=_DOCS),  # the answer to ACL RESTTOKEN
    *(_known(code, Outcome.COMMAND_ERROR) for code in (*_COMMAND_CODES.split(), "MOVED #", "ASK #")),
    *(_known(f"ERR {text}", Outcome.COMMAND_ERROR) for text in COMMAND_TEXTS),
)

# What clients and tools put in front of the server's text.
_INTRODUCTION = re.compile(r"^(?:(?:command failed|[\w.]*error)\s*:\s*|\(error\)\s*|[-\"'\[]\s*)+", re.IGNORECASE)


def known_error(text: str) -> KnownError | None:
    """The known error that a text is, whatever the HTTP status; `None` for a text that is on no list."""
    bare = _INTRODUCTION.sub("", " ".join(text.split()))
    return next((known for known in KNOWN_ERRORS if known.fits(bare)), None)


@cache
def _beginning(known: KnownError) -> re.Pattern[str]:
    end = r"\.?$" if known.is_whole else r"(?!\w)" if known.prefix else ""
    # Scripts and proxies put ERR in front of a code that is one by itself.
    start = "" if known.prefix.startswith("ERR") else r"(?:ERR:?\s)?"
    return re.compile(start + re.escape(known.prefix).replace(r"\#", "[0-9]+") + end, re.IGNORECASE)


@cache
def _word(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{word})(?!\w)", re.IGNORECASE)
