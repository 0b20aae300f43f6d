"""What can be the matter with a database, each made on real servers, and the verdict that it must get.

`docs/verdicts.md` shows this table; tests/doctor/test_verdict_rules.py proves it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from monitor.checks.observation import Outcome
from monitor.diagnosis.advice import WhoseMove
from monitor.diagnosis.verdicts import VerdictCode
from monitor.sandbox.upstash import UpstashFault
from tests.checks.faulty_server import answer
from tests.checks.listener import close_at_once, hang, http, port_that_refuses, say
from tests.doctor import make_trouble as make
from tests.doctor.examined_database import READ_ONLY_TOKEN, TOKEN, ExaminedDatabase
from tests.doctor.make_trouble import Make

Code = VerdictCode
YOURS, UPSTASH, UNSURE = WhoseMove.YOURS, WhoseMove.UPSTASH, WhoseMove.YOURS_THEN_UPSTASH
NETWORK, NOBODY = WhoseMove.NETWORK, WhoseMove.NOBODY


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """`words` say in a sentence what happened, `make` makes it happen; the rest is what must come of it."""

    words: str
    make: Make
    outcome: Outcome | None
    code: VerdictCode
    whose_move: WhoseMove


_SUSPENDED_FOR_BANDWIDTH = "ERR This database has been suspended for exceeding the bandwidth limit of its plan"
_KEY_REFUSED = json.dumps(
    {"error": "NOPERM this user has no permissions to access one of the keys used as arguments"}
)
_SET_REFUSED = json.dumps({"error": "NOPERM this user has no permissions to run the 'set' command"})
_GET_REFUSED = json.dumps({"error": "NOPERM this user has no permissions to run the 'get' command"})
_DEL_REFUSED = json.dumps({"error": "NOPERM this user has no permissions to run the 'del' command"})
_PLAN_PAGE = "See https://upstash.com/docs/redis/troubleshooting for details"

TABLE: dict[tuple[VerdictCode, WhoseMove], list[tuple[str, Outcome | None, Make]]] = {
    (Code.OFFLINE, YOURS): [
        ("Nothing outside of this machine can be reached", Outcome.CONNECTION_REFUSED, make.cut_off),
        (
            "The same, and the resolver does not answer",
            Outcome.DNS_FAILED,
            make.all_of(make.cut_off, make.resolver_fails),
        ),
    ],
    (Code.PROXY_NEEDED, YOURS): [
        (
            "Nothing can be reached, and `HTTPS_PROXY` is set",
            Outcome.CONNECTION_REFUSED,
            make.all_of(make.cut_off, make.behind_a_proxy),
        ),
        (
            "The same, and no name can be looked up without the proxy",
            Outcome.DNS_FAILED,
            make.all_of(make.cut_off, make.resolver_fails, make.behind_a_proxy),
        ),
    ],
    (Code.VARIABLE_STAGED, YOURS): [
        ("The token was set on Railway and never deployed", Outcome.TOKEN_MISSING, make.staged_first_time),
    ],
    (Code.VARIABLE_MISSING, YOURS): [
        ("The token's variable is empty", Outcome.TOKEN_MISSING, make.token("")),
        ("The URL's variable holds a space", Outcome.URL_MISSING, make.url(" ")),
    ],
    (Code.VALUES_SWAPPED, YOURS): [
        ("URL and token were pasted into each other's variable", Outcome.URL_MALFORMED, make.swapped),
    ],
    (Code.VALUE_IS_A_PLACEHOLDER, YOURS): [
        ("The token is `undefined`", Outcome.TOKEN_MALFORMED, make.token("undefined")),
        ("The token is `YOUR_TOKEN_HERE`", Outcome.TOKEN_MALFORMED, make.token("YOUR_TOKEN_HERE")),
        ("The URL is `null`", Outcome.URL_MALFORMED, make.url("null")),
    ],
    (Code.VALUE_IS_MASKED, YOURS): [
        ("The token was copied from a masked field", Outcome.TOKEN_MALFORMED, make.token("********************")),
    ],
    (Code.REDIS_PORT_IN_URL, YOURS): [
        ("The REST URL ends with `:6379`", Outcome.URL_MALFORMED, make.url("https://merry-cat.upstash.io:6379")),
    ],
    (Code.REST_VALUE_MANGLED, YOURS): [
        (
            "The token ends with a newline, and a worker's URL parser drops it",
            Outcome.TOKEN_MALFORMED,
            make.token(f"{TOKEN}\n"),
        ),
    ],
    (Code.VALUE_MALFORMED, YOURS): [
        ("The token is wrapped in quotes", Outcome.TOKEN_MALFORMED, make.token(f'"{TOKEN}"')),
        (
            "The URL is a `rediss://` URL",
            Outcome.URL_MALFORMED,
            make.all_of(
                make.url("rediss://merry-cat.upstash.io:6379"), make.worker_port(lambda _: port_that_refuses())
            ),
        ),
    ],
    (Code.NEW_TOKEN_NOT_DEPLOYED, YOURS): [
        (
            "The token was reset, and the new one is staged on the worker",
            Outcome.TOKEN_REJECTED,
            make.rotated_and_staged,
        ),
        (
            "The token was reset, this monitor has the new one, and the worker's is staged",
            None,
            make.rotated_and_staged_here_new,
        ),
    ],
    (Code.WORKER_TOKEN_WORKS, YOURS): [
        (
            "The token here is an old one, and the worker's is an ACL user's that works",
            Outcome.TOKEN_REJECTED,
            make.all_of(make.workers_acl_user(is_on=True), make.token(make.OTHER_TOKEN)),
        ),
    ],
    (Code.MONITOR_HAS_AN_OLD_TOKEN, YOURS): [
        (
            "The token was reset, and only this monitor has the old one",
            Outcome.TOKEN_REJECTED,
            make.rotated_and_deployed,
        ),
    ],
    (Code.ACL_USER_DISABLED, YOURS): [
        ("The ACL user whose token this is was switched off", Outcome.TOKEN_REJECTED, make.acl_user(is_on=False)),
        (
            "The same, and nobody gave the doctor a key",
            Outcome.TOKEN_REJECTED,
            make.all_of(make.acl_user(is_on=False), make.no_keys),
        ),
        (
            "The same, and the worker has the console's token",
            Outcome.TOKEN_REJECTED,
            make.all_of(make.acl_user(is_on=False), make.workers_token_is_the_consoles),
        ),
    ],
    (Code.WORKER_HAS_AN_OLD_TOKEN, YOURS): [
        ("The token was reset, and nobody has the new one", Outcome.TOKEN_REJECTED, ExaminedDatabase.rotate),
    ],
    (Code.CONSOLE_TOKEN_REFUSED, UPSTASH): [
        ("The database refuses the console's own token", Outcome.TOKEN_REJECTED, make.reset_not_yet_everywhere),
    ],
    (Code.CONSOLE_HIDES_TOKEN, YOURS): [
        (
            "The token was reset in a database with credential protection",
            Outcome.TOKEN_REJECTED,
            make.protected_and_reset,
        ),
    ],
    (Code.TOKEN_OF_ANOTHER_DATABASE, YOURS): [
        (
            "An older token whose form names another database than the URL",
            Outcome.TOKEN_REJECTED,
            make.another_databases,
        ),
    ],
    (Code.TOKEN_IS_A_PASSWORD, YOURS): [
        (
            "The password of an older database stands in the token's place",
            Outcome.TOKEN_REJECTED,
            make.older_databases_password,
        ),
    ],
    (Code.REST_TOKEN_WRONG, YOURS): [
        (
            "`rediss://` accepts the value and REST does not",
            Outcome.TOKEN_REJECTED,
            make.password_in_place_of_token,
        ),
    ],
    (Code.TOKEN_STALE, YOURS): [
        ("The token was reset, and nobody gave the doctor a key", Outcome.TOKEN_REJECTED, make.stale),
        (
            "A serverless-redis-http was given another token",
            Outcome.TOKEN_REJECTED,
            make.self_hosted(make.token(make.OTHER_TOKEN)),
        ),
    ],
    (Code.NAME_FILTERED, YOURS): [
        ("A DNS filter answers `0.0.0.0` for the host", Outcome.CONNECTION_REFUSED, make.sunk("0.0.0.0")),
        ("A hosts file leads the host to `127.0.0.1`", Outcome.CONNECTION_REFUSED, make.sunk("127.0.0.1")),
        ("A filter leads the host to its own page", Outcome.TLS_FAILED, make.filters_page),
    ],
    (Code.PRIVATE_NAME, YOURS): [
        (
            "A `*.railway.internal` name, from outside of the project",
            Outcome.DNS_NOT_FOUND,
            make.private("redis", ".railway.internal"),
        ),
        ("A container's name, from elsewhere", Outcome.DNS_NOT_FOUND, make.private("redis", ".internal")),
        ("A `*.flycast` name, from outside of Fly", Outcome.DNS_NOT_FOUND, make.private("my-redis", ".flycast")),
        (
            "A `fly-*.upstash.io` name, from outside of Fly",
            Outcome.DNS_NOT_FOUND,
            make.private("fly-merry-cat", ".upstash.io"),
        ),
        (
            "A `fly-*.upstash.io` name that resolves and cannot be reached",
            Outcome.CONNECTION_REFUSED,
            make.all_of(lambda examined: examined.move_to(name="fly-merry-cat"), make.blocked),
        ),
    ],
    (Code.KV_NAME_GONE, YOURS): [
        ("A `*.kv.vercel-storage.com` name that is no more", Outcome.DNS_NOT_FOUND, make.vercel_kv),
    ],
    (Code.DATABASE_GONE, YOURS): [
        ("The database was deleted, and the console knows it no more", Outcome.DNS_NOT_FOUND, make.deleted),
    ],
    (Code.SUSPENDED_FOR_BANDWIDTH, YOURS): [
        (
            "The database is suspended, as its text says for its bandwidth",
            Outcome.SUSPENDED,
            make.text(_SUSPENDED_FOR_BANDWIDTH),
        ),
        (
            "The database is suspended, and the console shows the bandwidth used up",
            Outcome.SUSPENDED,
            make.suspended_with_its_bandwidth_used_up,
        ),
    ],
    (Code.SUSPENDED, YOURS): [
        ("The database answers that it is suspended", Outcome.SUSPENDED, make.fault(UpstashFault.SUSPENDED)),
        ("PING answers, and the console says `suspended`", None, make.database("state", "suspended")),
    ],
    (Code.BANDWIDTH_USED_UP, YOURS): [
        (
            "The plan's bandwidth is used up",
            Outcome.QUOTA_EXCEEDED,
            make.text(f"ERR max monthly bandwidth limit exceeded. Limit: 10GB. {_PLAN_PAGE}"),
        ),
    ],
    (Code.DAILY_LIMIT_REACHED, YOURS): [
        ("The day's commands are used up", Outcome.QUOTA_EXCEEDED, make.fault(UpstashFault.DAILY_QUOTA)),
    ],
    (Code.QUOTA_BEHIND_PING, YOURS): [
        (
            "The plan's commands are used up; PING is free and answers",
            Outcome.QUOTA_EXCEEDED,
            make.fault(UpstashFault.QUOTA_BUT_PING),
        ),
    ],
    (Code.DATABASE_FULL, YOURS): [
        ("The database is full and refuses writes", Outcome.CAPACITY_FULL, make.fault(UpstashFault.CAPACITY)),
        (
            "A Redis behind serverless-redis-http is at its `maxmemory`",
            Outcome.CAPACITY_FULL,
            make.self_hosted_full,
        ),
    ],
    (Code.TOKEN_READ_ONLY, YOURS): [
        (
            "A user of the database's access list may read and not write",
            Outcome.PERMISSION_DENIED,
            make.may_not_write,
        ),
    ],
    (Code.PROVIDER_TROUBLE, UPSTASH): [
        ("The database fails, and Upstash has posted trouble", Outcome.SERVER_ERROR, make.trouble_posted),
    ],
    (Code.ADDRESS_NOT_ALLOWED, YOURS): [
        (
            "The IP allowlist keeps us out with a refusal",
            Outcome.CONNECTION_REFUSED,
            make.all_of(make.blocked, make.allowlist),
        ),
        (
            "The IP allowlist keeps us out with a 403",
            Outcome.ACCESS_DENIED,
            make.all_of(make.page(403), make.worker_kept_out, make.allowlist),
        ),
        (
            "The IP allowlist keeps us out with a reset",
            Outcome.CONNECTION_LOST,
            make.all_of(make.in_place(make.reset_by_peer), make.worker_kept_out, make.allowlist),
        ),
        (
            "The IP allowlist keeps us out with silence",
            Outcome.CONNECTION_TIMEOUT,
            make.all_of(make.drops, make.allowlist),
        ),
    ],
    (Code.NO_ROUTE, YOURS): [
        ("This machine has no route to any of the host's addresses", Outcome.NETWORK_UNREACHABLE, make.no_route),
    ],
    (Code.ONE_FAMILY_FAILS, NETWORK): [
        (
            "Over IPv6 the connection stands and the TLS handshake hangs; IPv4 is fine",
            Outcome.TLS_TIMEOUT,
            make.ipv6_hangs_in_tls,
        ),
        ("Over IPv6 a stranger's certificate answers; IPv4 is fine", Outcome.TLS_FAILED, make.ipv6_of_a_stranger),
    ],
    (Code.BLOCKED_OR_DOWN, NETWORK): [
        ("Neither REST's port nor the worker's accepts a connection", Outcome.CONNECTION_REFUSED, make.blocked),
        (
            "The same, behind a firewall that keeps us from the connectivity hosts too",
            Outcome.CONNECTION_REFUSED,
            make.all_of(make.blocked, make.connectivity_hosts_blocked),
        ),
        ("Packets to the host are dropped", Outcome.CONNECTION_TIMEOUT, make.drops),
        (
            "Packets to a server that is not Upstash's are dropped",
            Outcome.CONNECTION_TIMEOUT,
            make.self_hosted_drops,
        ),
    ],
    (Code.NOT_TLS, YOURS): [
        (
            "The URL's port speaks HTTP without TLS",
            Outcome.TLS_FAILED,
            lambda examined: examined.move_to(port=examined.listen(say(http(400, "Bad Request")))),
        ),
        (
            "The URL's port is that of a Redis without TLS",
            Outcome.TLS_FAILED,
            lambda examined: examined.move_to(port=examined.own_redis(is_encrypted=False).port),
        ),
    ],
    (Code.CERTIFICATE_UNTRUSTED, YOURS): [
        (
            "TLS is inspected: the certificate comes from an authority that is not trusted",
            Outcome.TLS_FAILED,
            make.certificate(is_trusted=False),
        ),
    ],
    (Code.CERTIFICATE_OUT_OF_DATE, UNSURE): [
        ("The certificate has expired", Outcome.TLS_FAILED, make.certificate(starts=-9, ends=-1)),
        (
            "The certificate is not valid yet by this machine's clock",
            Outcome.TLS_FAILED,
            make.certificate(starts=2),
        ),
    ],
    (Code.CERTIFICATE_OF_ANOTHER_NAME, YOURS): [
        ("The certificate is for another name", Outcome.TLS_FAILED, make.certificate("stranger.example.com")),
    ],
    (Code.PROXY_ASKS_LOGIN, YOURS): [
        ("A proxy answers 407", Outcome.ACCESS_DENIED, make.page(407)),
    ],
    (Code.PORTAL, YOURS): [
        ("A guest network answers 511", Outcome.ACCESS_DENIED, make.page(511)),
    ],
    (Code.BLOCKED_BY_LAW, YOURS): [
        ("A 451 answers", Outcome.ACCESS_DENIED, make.page(451)),
    ],
    (Code.LOGIN_WALL, YOURS): [
        ("A 401 page answers that is not the database's", Outcome.NOT_UPSTASH, make.page(401)),
        ("A page answers with 200", Outcome.NOT_UPSTASH, make.fault(UpstashFault.HTML)),
    ],
    (Code.REDIRECT_TO_HTTPS, YOURS): [
        ("`http://` of one's own server redirects to `https://`", Outcome.NOT_UPSTASH, make.to_https_of_the_same),
    ],
    (Code.REDIRECT, YOURS): [
        ("The address redirects to another host", Outcome.NOT_UPSTASH, make.redirect),
        ("The address answers 302 and names no target", Outcome.NOT_UPSTASH, make.page(302)),
    ],
    (Code.REQUEST_TOO_LARGE, YOURS): [
        (
            "The request is larger than the plan allows",
            Outcome.COMMAND_ERROR,
            make.text(f"ERR max request size exceeded. Limit: 1048576 bytes, Usage: 1048600 bytes. {_PLAN_PAGE}"),
        ),
    ],
    (Code.COMMAND_NOT_OVER_REST, YOURS): [
        (
            "The command is not available over REST",
            Outcome.COMMAND_ERROR,
            make.text(f"ERR Command is not available: 'PING'. {_PLAN_PAGE}"),
        ),
    ],
    (Code.ERROR_UNKNOWN, UNSURE): [
        (
            "An error text that is on nobody's list",
            Outcome.COMMAND_ERROR,
            make.text("ERR the moon is in the wrong phase"),
        ),
    ],
    (Code.OTHER_DATABASE, YOURS): [
        (
            "REST works, and the console's account has no such database",
            None,
            lambda examined: examined.console.databases.clear(),
        ),
    ],
    (Code.WORKER_READ_ONLY, YOURS): [
        (
            "The token is a read-only one, and the worker logs in as `default`",
            Outcome.PERMISSION_DENIED,
            make.token(READ_ONLY_TOKEN),
        ),
    ],
    (Code.WORKER_LEGACY_PORT, YOURS): [
        ("An older database, whose `rediss://` port is the number in its name", None, make.number_in_the_name),
    ],
    (Code.ACL_USER_TOKEN, YOURS): [
        (
            "An ACL user's token, which REST accepts and `rediss://default:` does not",
            Outcome.TOKEN_REJECTED,
            make.acl_user(is_on=True),
        ),
    ],
    (Code.WORKER_URL_WRONG, YOURS): [
        ("An older database, whose password is not its token", Outcome.TOKEN_REJECTED, make.other_password),
    ],
    (Code.WORKER_URL_BROKEN, YOURS): [
        ("A `#` in the token cuts the worker's URL short", Outcome.TOKEN_MALFORMED, make.a_hash_in_the_token),
    ],
    (Code.WORKER_PORT_BLOCKED, YOURS): [
        ("The worker's port refuses", Outcome.CONNECTION_REFUSED, make.worker_port(lambda _: port_that_refuses())),
        (
            "The worker's port drops packets",
            Outcome.CONNECTION_TIMEOUT,
            make.all_of(make.worker_port(ExaminedDatabase.drop), make.quickly),
        ),
    ],
    (Code.WORKER_NOT_TLS, YOURS): [
        (
            "The worker's port is a Redis without TLS",
            Outcome.TLS_FAILED,
            make.worker_port(lambda examined: examined.own_redis(is_encrypted=False).port),
        ),
    ],
    (Code.WORKER_NOT_ENCRYPTED, YOURS): [
        (
            "The worker's port hangs in the TLS handshake",
            Outcome.TLS_TIMEOUT,
            make.all_of(make.worker_port(lambda examined: examined.listen(hang)), make.quickly),
        ),
        (
            "The worker's port accepts and hangs up at once",
            Outcome.CONNECTION_LOST,
            make.worker_port(lambda examined: examined.listen(close_at_once)),
        ),
        (
            "The worker's port is a Redis at `--maxclients`, which says nothing before TLS stands",
            Outcome.CONNECTION_LOST,
            make.full_redis(is_encrypted=True),
        ),
    ],
    (Code.WORKER_VARIABLE_MISSING, YOURS): [
        ("The worker does not have the variables", None, make.no_variable),
    ],
    (Code.WORKER_USER_DISABLED, YOURS): [
        ("The ACL user whose token the worker has was switched off", None, make.workers_acl_user(is_on=False)),
    ],
    (Code.WORKER_VALUE_DIFFERS, YOURS): [
        (
            "The worker has a token that the database refuses",
            None,
            lambda examined: examined.deploy(UPSTASH_REDIS_REST_TOKEN="AXanother0"),
        ),
    ],
    (Code.WORKER_FAILS, YOURS): [
        (
            "The worker's port is a Redis without TLS at `--maxclients`",
            Outcome.TOO_MANY_CONNECTIONS,
            make.full_redis(is_encrypted=False),
        ),
    ],
    (Code.WORKER_FAILS, UNSURE): [
        (
            "The worker's port is encrypted and says nothing",
            Outcome.RESPONSE_TIMEOUT,
            make.all_of(
                make.worker_port(lambda examined: examined.listen(hang, tls=examined.certificate())), make.quickly
            ),
        ),
    ],
    (Code.AS_THE_OUTCOME_SAYS, YOURS): [
        (
            "A 403 answers, an IP allowlist is on, and the worker is let in",
            Outcome.ACCESS_DENIED,
            make.all_of(make.page(403), make.allowlist),
        ),
        (
            "The host does not exist, and nobody gave the doctor a key",
            Outcome.DNS_NOT_FOUND,
            make.all_of(make.no_keys, make.name_is_gone),
        ),
        (
            "The plan's commands are used up, PING refused too",
            Outcome.QUOTA_EXCEEDED,
            make.fault(UpstashFault.QUOTA),
        ),
        (
            "The token's user may run neither SET nor GET",
            Outcome.PERMISSION_DENIED,
            make.refuses(SET=_SET_REFUSED, GET=_GET_REFUSED),
        ),
        (
            "The token's user may not even run PING",
            Outcome.PERMISSION_DENIED,
            make.fault(UpstashFault.NO_PERMISSION),
        ),
        ("A 403 answers, and nothing is known of an allowlist", Outcome.ACCESS_DENIED, make.page(403)),
        ("JSON of another service answers", Outcome.NOT_UPSTASH, make.in_place(answer('{"message":"hello"}'))),
        (
            "A serverless-redis-http cannot reach its Redis",
            Outcome.SERVER_ERROR,
            make.self_hosted_without_its_redis,
        ),
        ("The service answers 429", Outcome.RATE_LIMITED, make.fault(UpstashFault.RATE_LIMIT)),
        (
            "The plan's connections are all taken",
            Outcome.TOO_MANY_CONNECTIONS,
            make.text(f"ERR max concurrent connections exceeded. Limit: 100. {_PLAN_PAGE}"),
        ),
        ("The resolver fails, and our network is fine", Outcome.DNS_FAILED, make.resolver_fails),
        (
            "A proxy before one's own server answers 403",
            Outcome.ACCESS_DENIED,
            make.self_hosted_in_place(answer("<html>no</html>", 403, kind="text/html")),
        ),
    ],
    (Code.AS_THE_OUTCOME_SAYS, UNSURE): [
        (
            "A known error of Redis's about the one command",
            Outcome.COMMAND_ERROR,
            make.text("ERR unknown command 'PING'"),
        ),
        (
            "REST's port refuses, the worker's is fine",
            Outcome.CONNECTION_REFUSED,
            lambda examined: examined.move_to(port=port_that_refuses()),
        ),
        ("The TLS handshake does not end", Outcome.TLS_TIMEOUT, make.tls_hangs),
        ("The connection is reset before an answer", Outcome.CONNECTION_LOST, make.in_place(make.reset_by_peer)),
        (
            "The host takes the request and never answers",
            Outcome.RESPONSE_TIMEOUT,
            make.all_of(make.fault(UpstashFault.HANG), make.quickly),
        ),
        (
            "A key that was just written is read back as null",
            Outcome.STALE_READ,
            make.refuses(GET='{"result":null}'),
        ),
    ],
    (Code.AS_THE_OUTCOME_SAYS, UPSTASH): [
        ("The database fails with a 503", Outcome.SERVER_ERROR, make.fault(UpstashFault.SERVER_ERROR)),
        (
            "The database is loading",
            Outcome.UNAVAILABLE,
            make.text("LOADING Redis is loading the dataset in memory"),
        ),
    ],
    (Code.SLOW, UNSURE): [
        ("PING is slower than the limit", Outcome.SLOW, make.slow),
    ],
    (Code.CANARY_KEY_NOT_ALLOWED, NOBODY): [
        (
            "The token's user may write some keys, and not the canary's",
            None,
            make.refuses(GET=_KEY_REFUSED, SET=_KEY_REFUSED, DEL=_KEY_REFUSED),
        ),
    ],
    (Code.CANARY_CANNOT_DELETE, NOBODY): [
        ("The token's user may write and not delete", None, make.refuses(DEL=_DEL_REFUSED)),
    ],
    (Code.CERTIFICATE_ENDS_SOON, UPSTASH): [
        ("The certificate ends in ten days", None, make.certificate_ends_soon),
    ],
    (Code.ALL_GOOD, NOBODY): [
        ("The worker uses another database, which works", None, make.worker_of_another_database),
        ("Nothing is wrong", None, make.nothing),
        ("Nothing is wrong with a serverless-redis-http", None, make.self_hosted()),
    ],
}
TROUBLES = [
    Trouble(words=words, make=make, outcome=outcome, code=code, whose_move=whose_move)
    for (code, whose_move), troubles in TABLE.items()
    for words, outcome, make in troubles
]
