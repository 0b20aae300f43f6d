"""How troubles of a database are made, on the real servers of `ExaminedDatabase`; `Make` makes one."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable

from monitor.sandbox.upstash import CommandError, Keyspace, UpstashFault
from tests.checks.faulty_server import Behaviour, ServerConnection, answer
from tests.checks.faulty_server import http as http_answer
from tests.checks.listener import hang, port_that_refuses
from tests.doctor.examined_database import READ_ONLY_TOKEN, TOKEN, TOKEN_NAME, ExaminedDatabase

Make = Callable[[ExaminedDatabase], object]
OTHER_TOKEN, ACL_TOKEN = "AXsomeOther-token_of_before01", "AXtokenOfAnAclUser-made_by_RESTTOKEN"
SHORT = "1200ms"


def nothing(examined: ExaminedDatabase) -> None:
    """Everything works."""


def fault(fault: UpstashFault) -> Make:
    return lambda examined: setattr(examined.upstash, "fault", fault)


def token(token: str) -> Make:
    return lambda examined: setattr(examined, "token", token)


def url(url: str) -> Make:
    return lambda examined: setattr(examined, "url", url)


def database(field: str, value: object) -> Make:
    return lambda examined: setattr(examined.database, field, value)


def in_place(behaviour: Behaviour, *, is_encrypted: bool = True) -> Make:
    """Something else answers where REST is."""

    def make(examined: ExaminedDatabase) -> None:
        examined.move_to(port=examined.serve(behaviour, tls=examined.certificate() if is_encrypted else None))

    return make


def text(text: str, status: int = 400) -> Make:
    """The database refuses every command with this text."""
    return in_place(answer(json.dumps({"error": text}), status))


def refuses(**texts: str) -> Make:
    """A database that works, but for these commands, to which it answers an error or a body of another kind."""
    return in_place(working(**texts))


def working(**texts: str) -> Behaviour:
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


def page(status: int, head: str = "") -> Make:
    return in_place(answer("<html><body>Log in</body></html>", status, kind="text/html", head=head))


def all_of(*makes: Make) -> Make:
    def make(examined: ExaminedDatabase) -> None:
        for each in makes:
            each(examined)

    return make


def no_keys(examined: ExaminedDatabase) -> None:
    examined.without_keys()


def quickly(examined: ExaminedDatabase) -> None:
    """For what hangs until the deadline."""
    examined.settings["timeout"] = SHORT


def cut_off(examined: ExaminedDatabase) -> None:
    """Nothing outside of this machine can be reached."""
    examined.connectivity_host.close()
    examined.upstash.fault = UpstashFault.REFUSE
    examined.worker_port = port_that_refuses()
    for service in (examined.page, examined.console, examined.railway):
        service.stop()


def behind_a_proxy(examined: ExaminedDatabase) -> None:
    examined.environment["HTTPS_PROXY"] = "http://proxy.example.com:3128"


def resolver_fails(examined: ExaminedDatabase) -> None:
    examined.lookup_failure = socket.EAI_AGAIN


def name_is_gone(examined: ExaminedDatabase) -> None:
    examined.gone.add(examined.host)


def blocked(examined: ExaminedDatabase) -> None:
    examined.upstash.fault = UpstashFault.REFUSE
    worker_kept_out(examined)


def connectivity_hosts_blocked(examined: ExaminedDatabase) -> None:
    """The connectivity hosts are out of reach and the status page is not."""
    examined.connectivity_host.close()


def worker_kept_out(examined: ExaminedDatabase) -> None:
    examined.worker_port = port_that_refuses()


def allowlist(examined: ExaminedDatabase) -> None:
    examined.database.has_allowlist = True


def drops(examined: ExaminedDatabase) -> None:
    examined.move_to(port=examined.drop())
    examined.worker_port = examined.port
    quickly(examined)


def staged_first_time(examined: ExaminedDatabase) -> None:
    examined.token = ""
    del examined.worker.stored[TOKEN_NAME]
    examined.deploy()
    examined.worker.stage(UPSTASH_REDIS_REST_TOKEN=TOKEN)


def swapped(examined: ExaminedDatabase) -> None:
    examined.url, examined.token = examined.token, examined.url


def rotated_and_staged(examined: ExaminedDatabase) -> None:
    examined.worker.stage(UPSTASH_REDIS_REST_TOKEN=examined.rotate())


def rotated_and_deployed(examined: ExaminedDatabase) -> None:
    examined.deploy(UPSTASH_REDIS_REST_TOKEN=examined.rotate())


def rotated_and_staged_here_new(examined: ExaminedDatabase) -> None:
    examined.token = examined.rotate()
    examined.worker.stage(UPSTASH_REDIS_REST_TOKEN=examined.token)


def acl_user(*, is_on: bool) -> Make:
    """REST has a token of its own for an ACL user (`ACL RESTTOKEN`), here and at the worker."""

    def make(examined: ExaminedDatabase) -> None:
        examined.upstash.acl_tokens[ACL_TOKEN] = is_on
        examined.token = ACL_TOKEN
        examined.deploy(UPSTASH_REDIS_REST_TOKEN=ACL_TOKEN)

    return make


def worker_of_another_database(examined: ExaminedDatabase) -> None:
    url = f"http://127.0.0.1:{examined.serve(working(), tls=None)}"
    examined.deploy(UPSTASH_REDIS_REST_URL=url, UPSTASH_REDIS_REST_TOKEN=OTHER_TOKEN)


def workers_acl_user(*, is_on: bool) -> Make:
    """An ACL user's token at the worker, and another one here."""

    def make(examined: ExaminedDatabase) -> None:
        examined.upstash.acl_tokens[ACL_TOKEN] = is_on
        examined.deploy(UPSTASH_REDIS_REST_TOKEN=ACL_TOKEN)

    return make


def workers_token_is_the_consoles(examined: ExaminedDatabase) -> None:
    examined.deploy(UPSTASH_REDIS_REST_TOKEN=TOKEN)


def reset_not_yet_everywhere(examined: ExaminedDatabase) -> None:
    examined.accept(OTHER_TOKEN)


def protected_and_reset(examined: ExaminedDatabase) -> None:
    examined.accept(OTHER_TOKEN)
    examined.database.shows_credentials = False


def token_of(number: int) -> str:
    """An older token, whose layout names its database."""
    head = bytes([1, number >> 8, number & 255, 1, 2, 32])
    return base64.urlsafe_b64encode(head + b"id" + b"s" * 32).decode()


def another_databases(examined: ExaminedDatabase) -> None:
    examined.without_keys()
    examined.move_to(name="apt-shark-30690")
    examined.token = token_of(30691)


def older_databases_password(examined: ExaminedDatabase) -> None:
    examined.token = examined.database.password = "0123456789abcdef" * 2
    examined.shared.set_password(examined.token)


def password_in_place_of_token(examined: ExaminedDatabase) -> None:
    examined.without_keys()
    examined.token = "aPassword-that_is_no_token1"
    examined.shared.set_password(examined.token)


def stale(examined: ExaminedDatabase) -> None:
    examined.without_keys()
    examined.rotate()


def deleted(examined: ExaminedDatabase) -> None:
    examined.gone.add(examined.host)
    examined.console.databases.clear()


def sunk(address: str) -> Make:
    def make(examined: ExaminedDatabase) -> None:
        examined.addresses = [address]
        examined.move_to(port=port_that_refuses())
        examined.worker_port = port_that_refuses()

    return make


def filters_page(examined: ExaminedDatabase) -> None:
    examined.addresses = ["127.0.0.1"]
    certificate = examined.certificate("pi.hole", is_trusted=False)
    examined.move_to(port=examined.serve(answer("<html>blocked</html>", kind="text/html"), tls=certificate))


def private(name: str, domain: str) -> Make:
    def make(examined: ExaminedDatabase) -> None:
        examined.move_to(name=name, domain=domain)
        examined.gone.add(examined.host)

    return make


def vercel_kv(examined: ExaminedDatabase) -> None:
    """As for those who have a console key too: that account does not list Vercel's name."""
    examined.move_to(domain=".kv.vercel-storage.com")
    examined.gone.add(examined.host)
    examined.console.databases.clear()


def suspended_with_its_bandwidth_used_up(examined: ExaminedDatabase) -> None:
    examined.upstash.fault = UpstashFault.SUSPENDED
    examined.database.state = "suspended"
    examined.database.bandwidth_used = (examined.database.bandwidth_limit_gb + 1) * 2**30


def reset_by_peer(connection: ServerConnection) -> None:
    connection.read_request()
    connection.reset()


def no_route(examined: ExaminedDatabase) -> None:
    examined.addresses = ["fe80::1"]


def ipv6_hangs_in_tls(examined: ExaminedDatabase) -> None:
    examined.listen(hang, host="::1", port=examined.port)
    # The third stands for an address of the world's, so that the name is not taken for one that was sunk.
    examined.addresses = ["::1", "127.0.0.1", "fe80::1"]
    quickly(examined)


def ipv6_of_a_stranger(examined: ExaminedDatabase) -> None:
    tls = examined.certificate("stranger.example.com", is_trusted=False)
    examined.listen(hang, host="::1", port=examined.port, tls=tls)
    examined.addresses = ["::1", "127.0.0.1", "fe80::1"]


def certificate(name: str = "*.upstash.io", *, is_trusted: bool = True, starts: int = -1, ends: int = 30) -> Make:
    def make(examined: ExaminedDatabase) -> None:
        tls = examined.certificate(name, is_trusted=is_trusted, starts=starts, ends=ends)
        examined.move_to(port=examined.serve(answer("{}"), tls=tls))

    return make


def certificate_ends_soon(examined: ExaminedDatabase) -> None:
    examined.renew(examined.certificate(ends=10))


def tls_hangs(examined: ExaminedDatabase) -> None:
    examined.move_to(port=examined.listen(hang))
    examined.worker_port = port_that_refuses()
    quickly(examined)


def redirect(examined: ExaminedDatabase) -> None:
    page(302, "Location: https://login.elsewhere.org/\r\n")(examined)


def to_https_of_the_same(examined: ExaminedDatabase) -> None:
    examined.self_host()
    behaviour = answer("", 301, head=f"Location: https://localhost:{examined.port}/\r\n")
    server = examined.serve(behaviour, tls=None)
    examined.url = f"http://localhost:{server}"


def trouble_posted(examined: ExaminedDatabase) -> None:
    examined.upstash.fault = UpstashFault.SERVER_ERROR
    examined.page.post_incident("Elevated errors", "N. Virginia, USA (us-east-1)")


def may_not_write(examined: ExaminedDatabase) -> None:
    """A user of the database's access list, let in everywhere."""
    examined.token = READ_ONLY_TOKEN
    examined.shared.set_password(READ_ONLY_TOKEN)


def no_variable(examined: ExaminedDatabase) -> None:
    examined.worker.stored.clear()
    examined.deploy()


def other_password(examined: ExaminedDatabase) -> None:
    examined.database.password = "0123456789abcdef" * 2
    examined.shared.set_password(examined.database.password)


def number_in_the_name(examined: ExaminedDatabase) -> None:
    examined.move_to(name=f"apt-shark-{examined.worker_port}")
    examined.worker_port = port_that_refuses()


def a_hash_in_the_token(examined: ExaminedDatabase) -> None:
    examined.token = examined.database.rest_token = examined.database.password = "AXstandard#Token"
    examined.accept(examined.token)
    examined.deploy(UPSTASH_REDIS_REST_TOKEN=examined.token)


def worker_port(port: Callable[[ExaminedDatabase], int]) -> Make:
    return lambda examined: setattr(examined, "worker_port", port(examined))


def full_redis(*, is_encrypted: bool) -> Make:
    def make(examined: ExaminedDatabase) -> None:
        redis = examined.own_redis(is_encrypted=is_encrypted, most_clients=1)
        examined.connect_to(redis.port)
        examined.worker_port = redis.port

    return make


def slow(examined: ExaminedDatabase) -> None:
    examined.upstash.delay_seconds = 0.02
    examined.settings["slow"] = "1ms"


def self_hosted(make: Make = nothing) -> Make:
    return all_of(lambda examined: examined.self_host(), make)


def self_hosted_without_its_redis(examined: ExaminedDatabase) -> None:
    def refuse(_words: object) -> str:
        raise ConnectionRefusedError

    examined.self_host(run=refuse)


def self_hosted_full(examined: ExaminedDatabase) -> None:
    def refuse(words: object) -> str:
        raise CommandError("OOM command not allowed when used memory > 'maxmemory'.")

    examined.self_host(run=refuse)


def self_hosted_in_place(behaviour: Behaviour) -> Make:
    def make(examined: ExaminedDatabase) -> None:
        examined.self_host()
        examined.url = f"http://localhost:{examined.serve(behaviour, tls=None)}"

    return make


def self_hosted_drops(examined: ExaminedDatabase) -> None:
    examined.self_host()
    examined.url = f"http://127.0.0.1:{examined.drop()}"
    quickly(examined)
