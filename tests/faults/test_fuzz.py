"""What comes from outside, as random as it can be: settings, channels' answers, requests, the command line.

The same examples in each `make test`, new ones in `make fuzz`; those that once found something, and the corners
that random rarely meets, are kept as `@example`. (Answers of databases: tests/faults/test_answers.py. For the HTTP
surface schemathesis would do what is done here by hand; it is another seven packages and a plugin in every run.)
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import string
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import pytest
import yaml
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from monitor.alerts.retry_policy import DeliveryStatus
from monitor.cli import main
from monitor.cli.options import UNUSABLE
from monitor.config.load import read
from monitor.config.mistakes import ConfigMistakesError
from monitor.config.schema import file_schema
from tests.alerts.conftest import LONG, OPENED
from tests.alerts.test_answers import PATH, TOKEN, Service
from tests.program import ROOT
from tests.web.conftest import Site, build, serving
from tests.web.made import DATABASES, HIDDEN_HOST, HOSTILE, NOW, MadeOverview

SECRET = "AXfuzzedSecretValue1234567890"
EXAMPLE = (ROOT / "monitor" / "config.example.yaml").read_text(encoding="utf-8")
# A fifth of what the profile says: of `make test` they may take a second each.
FEWER = examples(
    max_examples=examples().max_examples // 5,
    suppress_health_check=[*examples().suppress_health_check, HealthCheck.function_scoped_fixture],
)


def keys_of(schema: Any) -> Iterator[str]:
    """Every key that the settings know, wherever it stands."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from keys_of(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from keys_of(value)


KEYS = sorted(set(keys_of(file_schema())))
SCALARS = st.one_of(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    st.sampled_from(
        ["1s", "0s", "-1s", "10s", "999999999999d", "off", "main", "slack", "telegram", "log", "webhook"]
    ),
    st.sampled_from(
        ["${SECRET}", "${UNSET}", "${UNSET:-}", "${", "$$", "https://a.upstash.io", "http://[", "0 3 * * *"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)
SETTINGS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5).map(json.dumps)
LINES = EXAMPLE.splitlines()


@st.composite
def edited(draw: st.DrawFn) -> str:
    """The shipped file after some slips of the hand: lines gone, doubled, no comment any more, indented, cut."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        line, cut, noise = lines[at], draw(st.integers(0, 80)), draw(st.text(max_size=4))
        slips = [line + "\n" + line, line.replace("# ", "", 1), "  " + line, line[1:], line[:cut], line + noise]
        lines[at] = draw(st.sampled_from(slips))
    return "\n".join(lines)


@pytest.mark.faults("settings of any form")
@given(text=SETTINGS | edited() | st.text(max_size=80))
@example(text="databases: [{name: main, name: main}]")
@example(text="a: &a [*a]")
@example(text='{"maintenance": [{"cron": "0 3 * * *", "for": "999999999999d"}]}')
@example(text='{"databases": [{"name": "\\ud800"}]}')
@FEWER
def test_any_settings_are_taken_or_refused_in_words(tmp_path: Path, text: str) -> None:
    """Nothing raises but the mistakes, all of them short and without the secret that a variable holds."""
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        found = read(file, {"SECRET": SECRET}).mistakes
    except ConfigMistakesError as error:
        found = error.mistakes
        assert found
    for mistake in found:
        assert SECRET not in str(mistake)
        assert len(str(mistake)) < 1000
        assert str(mistake).isprintable()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service() as service:
        yield service


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
REPLIES = st.dictionaries(
    st.sampled_from(["ok", "error_code", "description", "result", "parameters", "error"]),
    ANYTHING
    | st.sampled_from([True, "chat not found", "Unauthorized", 429])
    | st.dictionaries(st.sampled_from(["retry_after", "migrate_to_chat_id", "message_id"]), ANYTHING, max_size=3),
    max_size=6,
).map(json.dumps)
BODIES = st.sampled_from(["ok", "", "no_service", "invalid_token", TOKEN, PATH]) | REPLIES | st.text(max_size=30)
STATUSES = st.sampled_from([200, 200, 201, 204, 302, 400, 401, 403, 404, 409, 413, 429, 500, 503]) | st.integers(
    200, 599
)
WAITS = st.none() | st.integers().map(str) | st.sampled_from(["soon", "1e9", "nan", "-1", "9" * 400, "1.5"])


@pytest.mark.faults("channels' answers of any form")
@given(channel=st.sampled_from(["slack", "telegram", "webhook"]), status=STATUSES, body=BODIES, wait=WAITS)
@example(channel="telegram", status=200, body='{"ok": true, "result": []}', wait=None)
@example(channel="telegram", status=429, body='{"ok": false, "parameters": {"retry_after": 1e400}}', wait="nan")
@example(channel="telegram", status=400, body='{"ok": false, "parameters": {"migrate_to_chat_id": {}}}', wait=None)
@example(channel="slack", status=429, body="rate_limited", wait="9" * 400)
@FEWER
def test_any_answer_of_a_channel_has_one_result(
    service: Service, channel: str, status: int, body: str, wait: str | None
) -> None:
    """Nothing raises; confirmed is only what the service confirms; no secret that it repeats is in the detail."""
    headers = {} if wait is None else {"retry_after": wait}
    service.answers(status, body.encode("utf-8", "replace").decode(), **headers)
    result = getattr(service, channel)().send(OPENED, timeout=LONG)
    assert result.detail.isprintable()
    assert len(result.detail) < 500
    assert TOKEN not in result.detail
    assert PATH not in result.detail
    if result.retry_after is not None:
        assert timedelta(0) <= result.retry_after <= timedelta(days=366)
    if result.status is DeliveryStatus.CONFIRMED and channel == "slack":
        assert (status, body.strip()) == (200, "ok")
    if result.status is DeliveryStatus.CONFIRMED and channel == "telegram":
        assert json.loads(body)["ok"] is True
    if result.status is DeliveryStatus.CONFIRMED and channel == "webhook":
        assert 200 <= status < 300


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    overview = MadeOverview((*DATABASES[:2], HOSTILE), now=NOW)
    with serving(build(overview)) as port:
        yield Site(port=port, overview=overview)


@pytest.fixture(scope="module")
def described(site: Site) -> Any:
    """openapi.json, by which requests are made and answers judged."""
    return json.loads(ask(site.port, "GET", "/openapi.json", {})[2])


def ask(port: int, method: str, target: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


PARAMETERS = st.sampled_from(
    ["24h", "1s", "0s", "-1d", "9" * 30 + "d", "2026-11-01", "0", "1", "1000", "nan", "hour"]
)
NAMES = st.sampled_from(["main", "cache", "nobody", "..", "%2e%2e", "main%00"]) | st.text(max_size=8).map(quote)
REQUEST_HEADERS = st.dictionaries(
    st.sampled_from(
        ["Accept", "Accept-Encoding", "If-None-Match", "Range", "Authorization", "Cookie", "X-Forwarded-For"]
    ),
    st.sampled_from(
        ["*", "*/*;q=nan", "gzip;q=0, br", '"x", W/"y"', "bytes=9-1", "Basic ====", "text/html, *", ",,,"]
    ),
    max_size=3,
)


@pytest.mark.faults("HTTP requests of any form")
@given(data=st.data(), headers=REQUEST_HEADERS)
@FEWER
def test_any_request_is_answered_as_openapi_json_says(
    site: Site, described: Any, data: st.DataObject, headers: dict[str, str]
) -> None:
    """Never a 500; a documented address answers with a documented status; what is JSON is of its schema; no host
    and no address leaves."""
    path = data.draw(
        st.sampled_from(sorted(described["paths"])) | st.text(string.printable, max_size=12).map(quote)
    )
    method = data.draw(st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"]))
    operation = described["paths"].get(path, {}).get(method.lower())
    target = path if path.startswith("/") else "/" + path
    while "{" in target:
        before, _, rest = target.partition("{")
        target = before + data.draw(NAMES) + rest.partition("}")[2]
    known = [each["name"] for each in (operation or {}).get("parameters", []) if each.get("in") == "query"]
    query = data.draw(
        st.dictionaries(st.sampled_from([*known, "x"]), PARAMETERS | st.text(max_size=6), max_size=3)
    )
    if query:
        target += "?" + "&".join(f"{name}={quote(value)}" for name, value in query.items())
    status, answered, body = ask(site.port, method, target, headers)
    assert status < 500, (method, target)
    assert "content-security-policy" in answered
    assert HIDDEN_HOST.encode() not in body
    if operation is not None and method == "GET":
        responses = operation["responses"]
        assert str(status) in {*responses, "304", "400", "404"}, (method, target, status)
        content = responses.get(str(status), {}).get("content", {}).get("application/json")
        if content is not None and "content-encoding" not in answered:
            validator = Draft202012Validator({**content["schema"], "components": described["components"]})
            assert list(validator.iter_errors(json.loads(body))) == [], (method, target)


def commands() -> Iterator[click.Command]:
    waiting: list[click.Command] = [main.program]
    while waiting:
        command = waiting.pop()
        yield command
        if isinstance(command, click.Group):
            context = click.Context(command)
            waiting += [
                found for name in command.list_commands(context) if (found := command.get_command(context, name))
            ]


WORDS = sorted(
    {
        word
        for command in commands()
        for word in (command.name or "", *(option for each in command.params for option in each.opts))
        if word
    }
)
LINE = st.lists(
    st.sampled_from(WORDS)
    | st.sampled_from(
        ["-h", "--", "-", "", "main", "7d", "0s", "-1d", "nan", "2026-10", "2026-13", "9" * 30, "\x1b[2J"]
    )
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    max_size=6,
)


@pytest.mark.faults("command lines of any form")
@given(line=LINE)
@example(line=["report", "--month", "9999999999-01"])
@example(line=["report", "--since", "9" * 30 + "d"])
@example(line=["silence", "--all", "--for", "9" * 20 + "d"])
@FEWER
def test_any_command_line_is_understood_or_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: list[str]
) -> None:
    """With nothing done: the commands themselves are left out. It ends with 0 or 3, and without a traceback."""
    monkeypatch.chdir(tmp_path)
    for command in commands():
        if not isinstance(command, click.Group):
            monkeypatch.setattr(command, "callback", lambda *_words, **_options: None)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main._status_of(line)
    assert status in (0, UNUSABLE), (line, err.getvalue())
    assert "Traceback" not in err.getvalue()
    assert "this is a bug" not in err.getvalue(), (line, err.getvalue())
    assert bool(err.getvalue()) == (status == UNUSABLE)
    assert "\x1b" not in err.getvalue()


def test_the_shipped_file_is_what_is_edited() -> None:
    """Else nothing would be learned from its slips."""
    assert yaml.safe_load(EXAMPLE) is not None
    assert len(LINES) > 20
