"""What can be the matter with a database, each made on real servers, and the verdict that it must get.

`docs/verdicts.md` shows this table; tests/doctor/test_verdict_rules.py proves it.
"""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass

from monitor.checks.observation import Outcome
from monitor.diagnosis.advice import WhoseMove
from monitor.diagnosis.verdicts import VerdictCode
from monitor.sandbox.upstash import CommandError, Keyspace, UpstashFault
from tests.checks.faulty_server import Behaviour, ServerConnection, answer
from tests.checks.faulty_server import http as http_answer
from tests.checks.listener import close_at_once, hang, http, port_that_refuses, say
from tests.doctor.examined_database import READ_ONLY_TOKEN, TOKEN, TOKEN_NAME, ExaminedDatabase

Make = Callable[[ExaminedDatabase], object]
Code = VerdictCode
YOURS, UPSTASH, UNSURE = WhoseMove.YOURS, WhoseMove.UPSTASH, WhoseMove.YOURS_THEN_UPSTASH
NETWORK, NOBODY = WhoseMove.NETWORK, WhoseMove.NOBODY
OTHER_TOKEN, ACL_TOKEN = "AXsomeOther-token_of_before01", "AXtokenOfAnAclUser-made_by_RESTTOKEN"
SHORT = "1200ms"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """`words` say in a sentence what happened, `make` makes it happen; the rest is what must come of it."""

    words: str
    make: Make
    outcome: Outcome | None
    code: VerdictCode
    whose_move: WhoseMove


def _trouble(words: str, outcome: Outcome | None, code: VerdictCode, whose_move: WhoseMove, make: Make) -> Trouble:
    return Trouble(words=words, make=make, outcome=outcome, code=code, whose_move=whose_move)


def _nothing(examined: ExaminedDatabase) -> None:
    """Everything works."""


def _fault(fault: UpstashFault) -> Make:
    return lambda examined: setattr(examined.upstash, "fault", fault)


def _token(token: str) -> Make:
    return lambda examined: setattr(examined, "token", token)


def _url(url: str) -> Make:
    return lambda examined: setattr(examined, "url", url)


def _database(field: str, value: object) -> Make:
    return lambda examined: setattr(examined.database, field, value)


def _in_place(behaviour: Behaviour, *, is_encrypted: bool = True) -> Make:
    """Something else answers where REST is."""

    def make(examined: ExaminedDatabase) -> None:
        examined.move_to(port=examined.serve(behaviour, tls=examined.certificate() if is_encrypted else None))

    return make


def _text(text: str, status: int = 400) -> Make:
    """The database refuses every command with this text."""
    return _in_place(answer(json.dumps({"error": text}), status))


def _refuses(**texts: str) -> Make:
    """A database that works, but for these commands, to which it answers an error or a body of another kind."""
    return _in_place(_working(**texts))


def _working(**texts: str) -> Behaviour:
    keyspace = Keyspace()

    def behaviour(connection: ServerConnection) -> None:
        name, *rest = connection.read_request()
        if name in texts:
            body = texts[name]
            connection.send(http_answer(body, 400 if "error" in body else 200))
            return
        result = keyspace.run([name, *map(str, rest)])
        if isinstance(result, str) and result != "OK":
            result = base64.b64encode(result.encode()).decode()
        connection.send(http_answer(json.dumps({"result": result})))

    return behaviour


def _page(status: int, head: str = "") -> Make:
    return _in_place(answer("<html><body>Log in</body></html>", status, kind="text/html", head=head))


def _with(*makes: Make) -> Make:
    def make(examined: ExaminedDatabase) -> None:
        for each in makes:
            each(examined)

    return make


def _no_keys(examined: ExaminedDatabase) -> None:
    examined.without_keys()


def _quickly(examined: ExaminedDatabase) -> None:
    """For what hangs until the deadline."""
    examined.settings["timeout"] = SHORT


def _cut_off(examined: ExaminedDatabase) -> None:
    """Nothing outside of this machine can be reached."""
    examined.connectivity_host.close()
    examined.upstash.fault = UpstashFault.REFUSE
    examined.worker_port = port_that_refuses()
    for service in (examined.page, examined.console, examined.railway):
        service.stop()


def _behind_a_proxy(examined: ExaminedDatabase) -> None:
    examined.environment["HTTPS_PROXY"] = "http://proxy.example.com:3128"


def _resolver_fails(examined: ExaminedDatabase) -> None:
    examined.lookup_failure = socket.EAI_AGAIN


def _name_is_gone(examined: ExaminedDatabase) -> None:
    examined.gone.add(examined.host)


def _blocked(examined: ExaminedDatabase) -> None:
    examined.upstash.fault = UpstashFault.REFUSE
    examined.worker_port = port_that_refuses()


def _connectivity_hosts_blocked(examined: ExaminedDatabase) -> None:
    """The connectivity hosts are out of reach and the status page is not."""
    examined.connectivity_host.close()


def _allowlist(examined: ExaminedDatabase) -> None:
    examined.database.has_allowlist = True


def _drops(examined: ExaminedDatabase) -> None:
    examined.move_to(port=examined.drop())
    examined.worker_port = examined.port
    _quickly(examined)


def _staged_first_time(examined: ExaminedDatabase) -> None:
    examined.token = ""
    del examined.worker.stored[TOKEN_NAME]
    examined.deploy()
    examined.worker.stage(UPSTASH_REDIS_REST_TOKEN=TOKEN)


def _swapped(examined: ExaminedDatabase) -> None:
    examined.url, examined.token = examined.token, examined.url


def _rotated_and_staged(examined: ExaminedDatabase) -> None:
    examined.worker.stage(UPSTASH_REDIS_REST_TOKEN=examined.rotate())


def _rotated_and_deployed(examined: ExaminedDatabase) -> None:
    examined.deploy(UPSTASH_REDIS_REST_TOKEN=examined.rotate())


def _rotated_and_staged_here_new(examined: ExaminedDatabase) -> None:
    examined.token = examined.rotate()
    examined.worker.stage(UPSTASH_REDIS_REST_TOKEN=examined.token)


def _acl_user(*, is_on: bool) -> Make:
    """REST has a token of its own for an ACL user (`ACL RESTTOKEN`), here and at the worker."""

    def make(examined: ExaminedDatabase) -> None:
        examined.upstash.acl_tokens[ACL_TOKEN] = is_on
        examined.token = ACL_TOKEN
        examined.deploy(UPSTASH_REDIS_REST_TOKEN=ACL_TOKEN)

    return make


def _worker_of_another_database(examined: ExaminedDatabase) -> None:
    url = f"http://127.0.0.1:{examined.serve(_working(), tls=None)}"
    examined.deploy(UPSTASH_REDIS_REST_URL=url, UPSTASH_REDIS_REST_TOKEN=OTHER_TOKEN)


def _workers_acl_user(*, is_on: bool) -> Make:
    """An ACL user's token at the worker, and another one here."""

    def make(examined: ExaminedDatabase) -> None:
        examined.upstash.acl_tokens[ACL_TOKEN] = is_on
        examined.deploy(UPSTASH_REDIS_REST_TOKEN=ACL_TOKEN)

    return make


def _workers_token_is_the_consoles(examined: ExaminedDatabase) -> None:
    examined.deploy(UPSTASH_REDIS_REST_TOKEN=TOKEN)


def _reset_not_yet_everywhere(examined: ExaminedDatabase) -> None:
    examined.accept(OTHER_TOKEN)


def _protected_and_reset(examined: ExaminedDatabase) -> None:
    examined.accept(OTHER_TOKEN)
    examined.database.shows_credentials = False


def _token_of(number: int) -> str:
    """An older token, whose layout names its database."""
    head = bytes([1, number >> 8, number & 255, 1, 2, 32])
    return base64.urlsafe_b64encode(head + b"id" + b"s" * 32).decode()


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


def _sunk(address: str) -> Make:
    def make(examined: ExaminedDatabase) -> None:
        examined.addresses = [address]
        examined.move_to(port=port_that_refuses())
        examined.worker_port = port_that_refuses()

    return make


def _filters_page(examined: ExaminedDatabase) -> None:
    examined.addresses = ["127.0.0.1"]
    certificate = examined.certificate("pi.hole", is_trusted=False)
    examined.move_to(port=examined.serve(answer("<html>blocked</html>", kind="text/html"), tls=certificate))


def _private(name: str, domain: str) -> Make:
    def make(examined: ExaminedDatabase) -> None:
        examined.move_to(name=name, domain=domain)
        examined.gone.add(examined.host)

    return make


def _vercel_kv(examined: ExaminedDatabase) -> None:
    """As for those who have a console key too: that account does not list Vercel's name."""
    examined.move_to(domain=".kv.vercel-storage.com")
    examined.gone.add(examined.host)
    examined.console.databases.clear()


def _suspended_with_its_bandwidth_used_up(examined: ExaminedDatabase) -> None:
    examined.upstash.fault = UpstashFault.SUSPENDED
    examined.database.state = "suspended"
    examined.database.bandwidth_used = (examined.database.bandwidth_limit_gb + 1) * 2**30


def _reset_by_peer(connection: ServerConnection) -> None:
    connection.read_request()
    connection.reset()


def _no_route(examined: ExaminedDatabase) -> None:
    examined.addresses = ["fe80::1"]


def _ipv6_hangs_in_tls(examined: ExaminedDatabase) -> None:
    examined.listen(hang, host="::1", port=examined.port)
    # The third stands for an address of the world's, so that the name is not taken for one that was sunk.
    examined.addresses = ["::1", "127.0.0.1", "fe80::1"]
    _quickly(examined)


def _ipv6_of_a_stranger(examined: ExaminedDatabase) -> None:
    tls = examined.certificate("stranger.example.com", is_trusted=False)
    examined.listen(hang, host="::1", port=examined.port, tls=tls)
    examined.addresses = ["::1", "127.0.0.1", "fe80::1"]


def _certificate(name: str = "*.upstash.io", *, is_trusted: bool = True, starts: int = -1, ends: int = 30) -> Make:
    def make(examined: ExaminedDatabase) -> None:
        tls = examined.certificate(name, is_trusted=is_trusted, starts=starts, ends=ends)
        examined.move_to(port=examined.serve(answer("{}"), tls=tls))

    return make


def _certificate_ends_soon(examined: ExaminedDatabase) -> None:
    examined.renew(examined.certificate(ends=10))


def _tls_hangs(examined: ExaminedDatabase) -> None:
    examined.move_to(port=examined.listen(hang))
    examined.worker_port = port_that_refuses()
    _quickly(examined)


def _redirect(examined: ExaminedDatabase) -> None:
    _page(302, "Location: https://login.elsewhere.org/\r\n")(examined)


def _to_https_of_the_same(examined: ExaminedDatabase) -> None:
    examined.self_host()
    behaviour = answer("", 301, head=f"Location: https://localhost:{examined.port}/\r\n")
    server = examined.serve(behaviour, tls=None)
    examined.url = f"http://localhost:{server}"


def _trouble_posted(examined: ExaminedDatabase) -> None:
    examined.upstash.fault = UpstashFault.SERVER_ERROR
    examined.page.post_incident("Elevated errors", "N. Virginia, USA (us-east-1)")


def _may_not_write(examined: ExaminedDatabase) -> None:
    """A user of the database's access list, let in everywhere."""
    examined.token = READ_ONLY_TOKEN
    examined.shared.set_password(READ_ONLY_TOKEN)


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


def _worker_port(port: Callable[[ExaminedDatabase], int]) -> Make:
    return lambda examined: setattr(examined, "worker_port", port(examined))


def _full_redis(*, is_encrypted: bool) -> Make:
    def make(examined: ExaminedDatabase) -> None:
        redis = examined.own_redis(is_encrypted=is_encrypted, most_clients=1)
        examined.connect_to(redis.port)
        examined.worker_port = redis.port

    return make


def _slow(examined: ExaminedDatabase) -> None:
    examined.upstash.delay_seconds = 0.02
    examined.settings["slow"] = "1ms"


def _self_hosted(make: Make = _nothing) -> Make:
    return _with(lambda examined: examined.self_host(), make)


def _self_hosted_without_its_redis(examined: ExaminedDatabase) -> None:
    def refuse(_words: object) -> str:
        raise ConnectionRefusedError

    examined.self_host(run=refuse)


def _self_hosted_full(examined: ExaminedDatabase) -> None:
    def refuse(words: object) -> str:
        raise CommandError("OOM command not allowed when used memory > 'maxmemory'.")

    examined.self_host(run=refuse)


def _self_hosted_in_place(behaviour: Behaviour) -> Make:
    def make(examined: ExaminedDatabase) -> None:
        examined.self_host()
        examined.url = f"http://localhost:{examined.serve(behaviour, tls=None)}"

    return make


def _self_hosted_drops(examined: ExaminedDatabase) -> None:
    examined.self_host()
    examined.url = f"http://127.0.0.1:{examined.drop()}"
    _quickly(examined)


_SUSPENDED_FOR_BANDWIDTH = "ERR This database has been suspended for exceeding the bandwidth limit of its plan"
_KEY_REFUSED = json.dumps(
    {"error": "NOPERM this user has no permissions to access one of the keys used as arguments"}
)
_DEL_REFUSED = json.dumps({"error": "NOPERM this user has no permissions to run the 'del' command"})
_PLAN_PAGE = "See https://upstash.com/docs/redis/troubleshooting for details"

# In the order of the verdicts.
TROUBLES = [
    _trouble(
        "Nothing outside of this machine can be reached", Outcome.CONNECTION_REFUSED, Code.OFFLINE, YOURS, _cut_off
    ),
    _trouble(
        "The same, and the resolver does not answer",
        Outcome.DNS_FAILED,
        Code.OFFLINE,
        YOURS,
        _with(_cut_off, _resolver_fails),
    ),
    _trouble(
        "Nothing can be reached, and `HTTPS_PROXY` is set",
        Outcome.CONNECTION_REFUSED,
        Code.PROXY_NEEDED,
        YOURS,
        _with(_cut_off, _behind_a_proxy),
    ),
    _trouble(
        "The same, and no name can be looked up without the proxy",
        Outcome.DNS_FAILED,
        Code.PROXY_NEEDED,
        YOURS,
        _with(_cut_off, _resolver_fails, _behind_a_proxy),
    ),
    _trouble(
        "The token was set on Railway and never deployed",
        Outcome.TOKEN_MISSING,
        Code.VARIABLE_STAGED,
        YOURS,
        _staged_first_time,
    ),
    _trouble("The token's variable is empty", Outcome.TOKEN_MISSING, Code.VARIABLE_MISSING, YOURS, _token("")),
    _trouble("The URL's variable holds a space", Outcome.URL_MISSING, Code.VARIABLE_MISSING, YOURS, _url(" ")),
    _trouble(
        "URL and token were pasted into each other's variable",
        Outcome.URL_MALFORMED,
        Code.VALUES_SWAPPED,
        YOURS,
        _swapped,
    ),
    _trouble(
        "The token is `undefined`",
        Outcome.TOKEN_MALFORMED,
        Code.VALUE_IS_A_PLACEHOLDER,
        YOURS,
        _token("undefined"),
    ),
    _trouble(
        "The token is `YOUR_TOKEN_HERE`",
        Outcome.TOKEN_MALFORMED,
        Code.VALUE_IS_A_PLACEHOLDER,
        YOURS,
        _token("YOUR_TOKEN_HERE"),
    ),
    _trouble("The URL is `null`", Outcome.URL_MALFORMED, Code.VALUE_IS_A_PLACEHOLDER, YOURS, _url("null")),
    _trouble(
        "The token was copied from a masked field",
        Outcome.TOKEN_MALFORMED,
        Code.VALUE_IS_MASKED,
        YOURS,
        _token("********************"),
    ),
    _trouble(
        "The REST URL ends with `:6379`",
        Outcome.URL_MALFORMED,
        Code.REDIS_PORT_IN_URL,
        YOURS,
        _url("https://merry-cat.upstash.io:6379"),
    ),
    _trouble(
        "The token ends with a newline, and a worker's URL parser drops it",
        Outcome.TOKEN_MALFORMED,
        Code.REST_VALUE_MANGLED,
        YOURS,
        _token(f"{TOKEN}\n"),
    ),
    _trouble(
        "The token is wrapped in quotes",
        Outcome.TOKEN_MALFORMED,
        Code.VALUE_MALFORMED,
        YOURS,
        _token(f'"{TOKEN}"'),
    ),
    _trouble(
        "The URL is a `rediss://` URL",
        Outcome.URL_MALFORMED,
        Code.VALUE_MALFORMED,
        YOURS,
        _with(_url("rediss://merry-cat.upstash.io:6379"), _worker_port(lambda _: port_that_refuses())),
    ),
    _trouble(
        "The token was reset, and the new one is staged on the worker",
        Outcome.TOKEN_REJECTED,
        Code.NEW_TOKEN_NOT_DEPLOYED,
        YOURS,
        _rotated_and_staged,
    ),
    _trouble(
        "The token was reset, this monitor has the new one, and the worker's is staged",
        None,
        Code.NEW_TOKEN_NOT_DEPLOYED,
        YOURS,
        _rotated_and_staged_here_new,
    ),
    _trouble(
        "The token was reset, and only this monitor has the old one",
        Outcome.TOKEN_REJECTED,
        Code.MONITOR_HAS_AN_OLD_TOKEN,
        YOURS,
        _rotated_and_deployed,
    ),
    _trouble(
        "The ACL user whose token this is was switched off",
        Outcome.TOKEN_REJECTED,
        Code.ACL_USER_DISABLED,
        YOURS,
        _acl_user(is_on=False),
    ),
    _trouble(
        "The same, and nobody gave the doctor a key",
        Outcome.TOKEN_REJECTED,
        Code.ACL_USER_DISABLED,
        YOURS,
        _with(_acl_user(is_on=False), _no_keys),
    ),
    _trouble(
        "The same, and the worker has the console's token",
        Outcome.TOKEN_REJECTED,
        Code.ACL_USER_DISABLED,
        YOURS,
        _with(_acl_user(is_on=False), _workers_token_is_the_consoles),
    ),
    _trouble(
        "The token here is an old one, and the worker's is an ACL user's that works",
        Outcome.TOKEN_REJECTED,
        Code.WORKER_TOKEN_WORKS,
        YOURS,
        _with(_workers_acl_user(is_on=True), _token(OTHER_TOKEN)),
    ),
    _trouble(
        "The token was reset, and nobody has the new one",
        Outcome.TOKEN_REJECTED,
        Code.WORKER_HAS_AN_OLD_TOKEN,
        YOURS,
        ExaminedDatabase.rotate,
    ),
    _trouble(
        "The database refuses the console's own token",
        Outcome.TOKEN_REJECTED,
        Code.CONSOLE_TOKEN_REFUSED,
        UPSTASH,
        _reset_not_yet_everywhere,
    ),
    _trouble(
        "The token was reset in a database with credential protection",
        Outcome.TOKEN_REJECTED,
        Code.CONSOLE_HIDES_TOKEN,
        YOURS,
        _protected_and_reset,
    ),
    _trouble(
        "An older token whose form names another database than the URL",
        Outcome.TOKEN_REJECTED,
        Code.TOKEN_OF_ANOTHER_DATABASE,
        YOURS,
        _another_databases,
    ),
    _trouble(
        "The password of an older database stands in the token's place",
        Outcome.TOKEN_REJECTED,
        Code.TOKEN_IS_A_PASSWORD,
        YOURS,
        _older_databases_password,
    ),
    _trouble(
        "`rediss://` accepts the value and REST does not",
        Outcome.TOKEN_REJECTED,
        Code.REST_TOKEN_WRONG,
        YOURS,
        _password_in_place_of_token,
    ),
    _trouble(
        "The token was reset, and nobody gave the doctor a key",
        Outcome.TOKEN_REJECTED,
        Code.TOKEN_STALE,
        YOURS,
        _stale,
    ),
    _trouble(
        "A serverless-redis-http was given another token",
        Outcome.TOKEN_REJECTED,
        Code.TOKEN_STALE,
        YOURS,
        _self_hosted(_token(OTHER_TOKEN)),
    ),
    _trouble(
        "A DNS filter answers `0.0.0.0` for the host",
        Outcome.CONNECTION_REFUSED,
        Code.NAME_FILTERED,
        YOURS,
        _sunk("0.0.0.0"),
    ),
    _trouble(
        "A hosts file leads the host to `127.0.0.1`",
        Outcome.CONNECTION_REFUSED,
        Code.NAME_FILTERED,
        YOURS,
        _sunk("127.0.0.1"),
    ),
    _trouble(
        "A filter leads the host to its own page", Outcome.TLS_FAILED, Code.NAME_FILTERED, YOURS, _filters_page
    ),
    _trouble(
        "A `*.railway.internal` name, from outside of the project",
        Outcome.DNS_NOT_FOUND,
        Code.PRIVATE_NAME,
        YOURS,
        _private("redis", ".railway.internal"),
    ),
    _trouble(
        "A `*.flycast` name, from outside of Fly",
        Outcome.DNS_NOT_FOUND,
        Code.PRIVATE_NAME,
        YOURS,
        _private("my-redis", ".flycast"),
    ),
    _trouble(
        "A `fly-*.upstash.io` name, from outside of Fly",
        Outcome.DNS_NOT_FOUND,
        Code.PRIVATE_NAME,
        YOURS,
        _private("fly-merry-cat", ".upstash.io"),
    ),
    _trouble(
        "A `fly-*.upstash.io` name that resolves and cannot be reached",
        Outcome.CONNECTION_REFUSED,
        Code.PRIVATE_NAME,
        YOURS,
        _with(lambda examined: examined.move_to(name="fly-merry-cat"), _blocked),
    ),
    _trouble(
        "A `*.kv.vercel-storage.com` name that is no more",
        Outcome.DNS_NOT_FOUND,
        Code.KV_NAME_GONE,
        YOURS,
        _vercel_kv,
    ),
    _trouble(
        "The database was deleted, and the console knows it no more",
        Outcome.DNS_NOT_FOUND,
        Code.DATABASE_GONE,
        YOURS,
        _deleted,
    ),
    _trouble(
        "The host does not exist, and nobody gave the doctor a key",
        Outcome.DNS_NOT_FOUND,
        Code.AS_THE_OUTCOME_SAYS,
        YOURS,
        _with(_no_keys, _name_is_gone),
    ),
    _trouble(
        "The database is suspended, as its text says for its bandwidth",
        Outcome.SUSPENDED,
        Code.SUSPENDED_FOR_BANDWIDTH,
        YOURS,
        _text(_SUSPENDED_FOR_BANDWIDTH),
    ),
    _trouble(
        "The database is suspended, and the console shows the bandwidth used up",
        Outcome.SUSPENDED,
        Code.SUSPENDED_FOR_BANDWIDTH,
        YOURS,
        _suspended_with_its_bandwidth_used_up,
    ),
    _trouble(
        "The database answers that it is suspended",
        Outcome.SUSPENDED,
        Code.SUSPENDED,
        YOURS,
        _fault(UpstashFault.SUSPENDED),
    ),
    _trouble(
        "PING answers, and the console says `suspended`",
        None,
        Code.SUSPENDED,
        YOURS,
        _database("state", "suspended"),
    ),
    _trouble(
        "The plan's bandwidth is used up",
        Outcome.QUOTA_EXCEEDED,
        Code.BANDWIDTH_USED_UP,
        YOURS,
        _text(f"ERR max monthly bandwidth limit exceeded. Limit: 10GB. {_PLAN_PAGE}"),
    ),
    _trouble(
        "The day's commands are used up",
        Outcome.QUOTA_EXCEEDED,
        Code.DAILY_LIMIT_REACHED,
        YOURS,
        _fault(UpstashFault.DAILY_QUOTA),
    ),
    _trouble(
        "The plan's commands are used up; PING is free and answers",
        Outcome.QUOTA_EXCEEDED,
        Code.QUOTA_BEHIND_PING,
        YOURS,
        _fault(UpstashFault.QUOTA_BUT_PING),
    ),
    _trouble(
        "The plan's commands are used up, PING refused too",
        Outcome.QUOTA_EXCEEDED,
        Code.AS_THE_OUTCOME_SAYS,
        YOURS,
        _fault(UpstashFault.QUOTA),
    ),
    _trouble(
        "The database is full and refuses writes",
        Outcome.CAPACITY_FULL,
        Code.DATABASE_FULL,
        YOURS,
        _fault(UpstashFault.CAPACITY),
    ),
    _trouble(
        "A Redis behind serverless-redis-http is at its `maxmemory`",
        Outcome.CAPACITY_FULL,
        Code.DATABASE_FULL,
        YOURS,
        _self_hosted_full,
    ),
    _trouble(
        "A user of the database's access list may read and not write",
        Outcome.PERMISSION_DENIED,
        Code.TOKEN_READ_ONLY,
        YOURS,
        _may_not_write,
    ),
    _trouble(
        "The token's user may not even run PING",
        Outcome.PERMISSION_DENIED,
        Code.AS_THE_OUTCOME_SAYS,
        YOURS,
        _fault(UpstashFault.NO_PERMISSION),
    ),
    _trouble(
        "The request is larger than the plan allows",
        Outcome.COMMAND_ERROR,
        Code.REQUEST_TOO_LARGE,
        YOURS,
        _text(f"ERR max request size exceeded. Limit: 1048576 bytes, Usage: 1048600 bytes. {_PLAN_PAGE}"),
    ),
    _trouble(
        "The command is not available over REST",
        Outcome.COMMAND_ERROR,
        Code.COMMAND_NOT_OVER_REST,
        YOURS,
        _text(f"ERR Command is not available: 'PING'. {_PLAN_PAGE}"),
    ),
    _trouble(
        "An error text that is on nobody's list",
        Outcome.COMMAND_ERROR,
        Code.ERROR_UNKNOWN,
        UNSURE,
        _text("ERR the moon is in the wrong phase"),
    ),
    _trouble(
        "A known error of Redis's about the one command",
        Outcome.COMMAND_ERROR,
        Code.AS_THE_OUTCOME_SAYS,
        UNSURE,
        _text("ERR unknown command 'PING'"),
    ),
    _trouble(
        "The IP allowlist keeps us out with a refusal",
        Outcome.CONNECTION_REFUSED,
        Code.ADDRESS_NOT_ALLOWED,
        YOURS,
        _with(_blocked, _allowlist),
    ),
    _trouble(
        "The IP allowlist keeps us out with a 403",
        Outcome.ACCESS_DENIED,
        Code.ADDRESS_NOT_ALLOWED,
        YOURS,
        _with(_page(403), _allowlist),
    ),
    _trouble(
        "The IP allowlist keeps us out with a reset",
        Outcome.CONNECTION_LOST,
        Code.ADDRESS_NOT_ALLOWED,
        YOURS,
        _with(_in_place(_reset_by_peer), _allowlist),
    ),
    _trouble(
        "The IP allowlist keeps us out with silence",
        Outcome.CONNECTION_TIMEOUT,
        Code.ADDRESS_NOT_ALLOWED,
        YOURS,
        _with(_drops, _allowlist),
    ),
    _trouble(
        "The database fails, and Upstash has posted trouble",
        Outcome.SERVER_ERROR,
        Code.PROVIDER_TROUBLE,
        UPSTASH,
        _trouble_posted,
    ),
    _trouble(
        "This machine has no route to any of the host's addresses",
        Outcome.NETWORK_UNREACHABLE,
        Code.NO_ROUTE,
        YOURS,
        _no_route,
    ),
    _trouble(
        "Over IPv6 the connection stands and the TLS handshake hangs; IPv4 is fine",
        Outcome.TLS_TIMEOUT,
        Code.ONE_FAMILY_FAILS,
        NETWORK,
        _ipv6_hangs_in_tls,
    ),
    _trouble(
        "Over IPv6 a stranger's certificate answers; IPv4 is fine",
        Outcome.TLS_FAILED,
        Code.ONE_FAMILY_FAILS,
        NETWORK,
        _ipv6_of_a_stranger,
    ),
    _trouble(
        "Neither REST's port nor the worker's accepts a connection",
        Outcome.CONNECTION_REFUSED,
        Code.BLOCKED_OR_DOWN,
        NETWORK,
        _blocked,
    ),
    _trouble(
        "The same, behind a firewall that keeps us from the connectivity hosts too",
        Outcome.CONNECTION_REFUSED,
        Code.BLOCKED_OR_DOWN,
        NETWORK,
        _with(_blocked, _connectivity_hosts_blocked),
    ),
    _trouble("Packets to the host are dropped", Outcome.CONNECTION_TIMEOUT, Code.BLOCKED_OR_DOWN, NETWORK, _drops),
    _trouble(
        "Packets to a server that is not Upstash's are dropped",
        Outcome.CONNECTION_TIMEOUT,
        Code.BLOCKED_OR_DOWN,
        NETWORK,
        _self_hosted_drops,
    ),
    _trouble(
        "REST's port refuses, the worker's is fine",
        Outcome.CONNECTION_REFUSED,
        Code.AS_THE_OUTCOME_SAYS,
        UNSURE,
        lambda examined: examined.move_to(port=port_that_refuses()),
    ),
    _trouble(
        "The URL's port speaks HTTP without TLS",
        Outcome.TLS_FAILED,
        Code.NOT_TLS,
        YOURS,
        lambda examined: examined.move_to(port=examined.listen(say(http(400, "Bad Request")))),
    ),
    _trouble(
        "The URL's port is that of a Redis without TLS",
        Outcome.TLS_FAILED,
        Code.NOT_TLS,
        YOURS,
        lambda examined: examined.move_to(port=examined.own_redis(is_encrypted=False).port),
    ),
    _trouble(
        "TLS is inspected: the certificate comes from an authority that is not trusted",
        Outcome.TLS_FAILED,
        Code.CERTIFICATE_UNTRUSTED,
        YOURS,
        _certificate(is_trusted=False),
    ),
    _trouble(
        "The certificate has expired",
        Outcome.TLS_FAILED,
        Code.CERTIFICATE_OUT_OF_DATE,
        UNSURE,
        _certificate(starts=-9, ends=-1),
    ),
    _trouble(
        "The certificate is not valid yet by this machine's clock",
        Outcome.TLS_FAILED,
        Code.CERTIFICATE_OUT_OF_DATE,
        UNSURE,
        _certificate(starts=2),
    ),
    _trouble(
        "The certificate is for another name",
        Outcome.TLS_FAILED,
        Code.CERTIFICATE_OF_ANOTHER_NAME,
        YOURS,
        _certificate("stranger.example.com"),
    ),
    _trouble("The TLS handshake does not end", Outcome.TLS_TIMEOUT, Code.AS_THE_OUTCOME_SAYS, UNSURE, _tls_hangs),
    _trouble("A proxy answers 407", Outcome.ACCESS_DENIED, Code.PROXY_ASKS_LOGIN, YOURS, _page(407)),
    _trouble("A guest network answers 511", Outcome.ACCESS_DENIED, Code.PORTAL, YOURS, _page(511)),
    _trouble("A 451 answers", Outcome.ACCESS_DENIED, Code.BLOCKED_BY_LAW, YOURS, _page(451)),
    _trouble(
        "A 403 answers, and nothing is known of an allowlist",
        Outcome.ACCESS_DENIED,
        Code.AS_THE_OUTCOME_SAYS,
        YOURS,
        _page(403),
    ),
    _trouble(
        "A 401 page answers that is not the database's", Outcome.NOT_UPSTASH, Code.LOGIN_WALL, YOURS, _page(401)
    ),
    _trouble("A page answers with 200", Outcome.NOT_UPSTASH, Code.LOGIN_WALL, YOURS, _fault(UpstashFault.HTML)),
    _trouble(
        "`http://` of one's own server redirects to `https://`",
        Outcome.NOT_UPSTASH,
        Code.REDIRECT_TO_HTTPS,
        YOURS,
        _to_https_of_the_same,
    ),
    _trouble("The address redirects elsewhere", Outcome.NOT_UPSTASH, Code.REDIRECT, YOURS, _redirect),
    _trouble(
        "JSON of another service answers",
        Outcome.NOT_UPSTASH,
        Code.AS_THE_OUTCOME_SAYS,
        YOURS,
        _in_place(answer('{"message":"hello"}')),
    ),
    _trouble(
        "REST works, and the console's account has no such database",
        None,
        Code.OTHER_DATABASE,
        YOURS,
        lambda examined: examined.console.databases.clear(),
    ),
    _trouble(
        "The token is a read-only one, and the worker logs in as `default`",
        Outcome.PERMISSION_DENIED,
        Code.WORKER_READ_ONLY,
        YOURS,
        _token(READ_ONLY_TOKEN),
    ),
    _trouble(
        "An older database, whose `rediss://` port is the number in its name",
        None,
        Code.WORKER_LEGACY_PORT,
        YOURS,
        _number_in_the_name,
    ),
    _trouble(
        "An ACL user's token, which REST accepts and `rediss://default:` does not",
        Outcome.TOKEN_REJECTED,
        Code.ACL_USER_TOKEN,
        YOURS,
        _acl_user(is_on=True),
    ),
    _trouble(
        "An older database, whose password is not its token",
        Outcome.TOKEN_REJECTED,
        Code.WORKER_URL_WRONG,
        YOURS,
        _other_password,
    ),
    _trouble(
        "A `#` in the token cuts the worker's URL short",
        Outcome.TOKEN_MALFORMED,
        Code.WORKER_URL_BROKEN,
        YOURS,
        _a_hash_in_the_token,
    ),
    _trouble(
        "The worker's port refuses",
        Outcome.CONNECTION_REFUSED,
        Code.WORKER_PORT_BLOCKED,
        YOURS,
        _worker_port(lambda _: port_that_refuses()),
    ),
    _trouble(
        "The worker's port drops packets",
        Outcome.CONNECTION_TIMEOUT,
        Code.WORKER_PORT_BLOCKED,
        YOURS,
        _with(_worker_port(ExaminedDatabase.drop), _quickly),
    ),
    _trouble(
        "The worker's port is a Redis without TLS",
        Outcome.TLS_FAILED,
        Code.WORKER_NOT_ENCRYPTED,
        YOURS,
        _worker_port(lambda examined: examined.own_redis(is_encrypted=False).port),
    ),
    _trouble(
        "The worker's port hangs in the TLS handshake",
        Outcome.TLS_TIMEOUT,
        Code.WORKER_NOT_ENCRYPTED,
        YOURS,
        _with(_worker_port(lambda examined: examined.listen(hang)), _quickly),
    ),
    _trouble(
        "The worker's port accepts and hangs up at once",
        Outcome.CONNECTION_LOST,
        Code.WORKER_NOT_ENCRYPTED,
        YOURS,
        _worker_port(lambda examined: examined.listen(close_at_once)),
    ),
    _trouble(
        "The worker's port is a Redis at `--maxclients`, which says nothing before TLS stands",
        Outcome.CONNECTION_LOST,
        Code.WORKER_NOT_ENCRYPTED,
        YOURS,
        _full_redis(is_encrypted=True),
    ),
    _trouble("The worker does not have the variables", None, Code.WORKER_VARIABLE_MISSING, YOURS, _no_variable),
    _trouble(
        "The ACL user whose token the worker has was switched off",
        None,
        Code.WORKER_USER_DISABLED,
        YOURS,
        _workers_acl_user(is_on=False),
    ),
    _trouble(
        "The worker uses another database, which works",
        None,
        Code.ALL_GOOD,
        NOBODY,
        _worker_of_another_database,
    ),
    _trouble(
        "The worker has a token that the database refuses",
        None,
        Code.WORKER_VALUE_DIFFERS,
        YOURS,
        lambda examined: examined.deploy(UPSTASH_REDIS_REST_TOKEN="AXanother0"),
    ),
    _trouble(
        "The worker's port is a Redis without TLS at `--maxclients`",
        Outcome.TOO_MANY_CONNECTIONS,
        Code.WORKER_FAILS,
        YOURS,
        _full_redis(is_encrypted=False),
    ),
    _trouble(
        "The worker's port is encrypted and says nothing",
        Outcome.RESPONSE_TIMEOUT,
        Code.WORKER_FAILS,
        UNSURE,
        _with(_worker_port(lambda examined: examined.listen(hang, tls=examined.certificate())), _quickly),
    ),
    _trouble(
        "The database fails with a 503",
        Outcome.SERVER_ERROR,
        Code.AS_THE_OUTCOME_SAYS,
        UPSTASH,
        _fault(UpstashFault.SERVER_ERROR),
    ),
    _trouble(
        "A serverless-redis-http cannot reach its Redis",
        Outcome.SERVER_ERROR,
        Code.AS_THE_OUTCOME_SAYS,
        YOURS,
        _self_hosted_without_its_redis,
    ),
    _trouble(
        "The service answers 429",
        Outcome.RATE_LIMITED,
        Code.AS_THE_OUTCOME_SAYS,
        YOURS,
        _fault(UpstashFault.RATE_LIMIT),
    ),
    _trouble(
        "The plan's connections are all taken",
        Outcome.TOO_MANY_CONNECTIONS,
        Code.AS_THE_OUTCOME_SAYS,
        YOURS,
        _text(f"ERR max concurrent connections exceeded. Limit: 100. {_PLAN_PAGE}"),
    ),
    _trouble(
        "The database is loading",
        Outcome.UNAVAILABLE,
        Code.AS_THE_OUTCOME_SAYS,
        UPSTASH,
        _text("LOADING Redis is loading the dataset in memory"),
    ),
    _trouble(
        "The connection is reset before an answer",
        Outcome.CONNECTION_LOST,
        Code.AS_THE_OUTCOME_SAYS,
        UPSTASH,
        _in_place(_reset_by_peer),
    ),
    _trouble(
        "The host takes the request and never answers",
        Outcome.RESPONSE_TIMEOUT,
        Code.AS_THE_OUTCOME_SAYS,
        UPSTASH,
        _with(_fault(UpstashFault.HANG), _quickly),
    ),
    _trouble(
        "A key that was just written is read back as null",
        Outcome.STALE_READ,
        Code.AS_THE_OUTCOME_SAYS,
        UNSURE,
        _refuses(GET='{"result":null}'),
    ),
    _trouble(
        "The resolver fails, and our network is fine",
        Outcome.DNS_FAILED,
        Code.AS_THE_OUTCOME_SAYS,
        YOURS,
        _resolver_fails,
    ),
    _trouble(
        "A proxy before one's own server answers 403",
        Outcome.ACCESS_DENIED,
        Code.AS_THE_OUTCOME_SAYS,
        YOURS,
        _self_hosted_in_place(answer("<html>no</html>", 403, kind="text/html")),
    ),
    _trouble("PING is slower than the limit", Outcome.SLOW, Code.SLOW, UNSURE, _slow),
    _trouble(
        "The token's user may write some keys, and not the canary's",
        None,
        Code.CANARY_KEY_NOT_ALLOWED,
        NOBODY,
        _refuses(GET=_KEY_REFUSED, SET=_KEY_REFUSED, DEL=_KEY_REFUSED),
    ),
    _trouble(
        "The token's user may write and not delete",
        None,
        Code.CANARY_CANNOT_DELETE,
        NOBODY,
        _refuses(DEL=_DEL_REFUSED),
    ),
    _trouble("The certificate ends in ten days", None, Code.CERTIFICATE_ENDS_SOON, UNSURE, _certificate_ends_soon),
    _trouble("Nothing is wrong", None, Code.ALL_GOOD, NOBODY, _nothing),
    _trouble("Nothing is wrong with a serverless-redis-http", None, Code.ALL_GOOD, NOBODY, _self_hosted()),
]
