"""Where the page's password is read from, and that neither `config show` nor the log nor an answer shows it."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from monitor.config.load import read
from monitor.config.mistakes import ConfigMistakesError
from monitor.config.settings import Settings
from monitor.sandbox.upstash import UpstashStandIn
from tests.program import LONGEST_WAIT_SECONDS, Program, database, settings

PASSWORD = "op3n-$es@me${X}-9f27"
DATABASE = {"UPSTASH_REDIS_REST_URL": "https://x.upstash.io", "UPSTASH_REDIS_REST_TOKEN": "t"}


def loaded(folder: Path, file: str | None, **environ: str) -> Settings:
    path = None
    if file is not None:
        path = folder / "config.yaml"
        path.write_text(file, encoding="utf-8")
    return read(path, {**DATABASE, **environ}).settings


def password_of(settings: Settings) -> str | None:
    found = settings.page.password
    return None if found is None else found.reveal()


@pytest.mark.parametrize(
    "file",
    [
        None,
        "history: {path: x.db}\n",
        "page: {port: 8080}\n",
        "page: {password: ''}\n",
        "page: {password: '${STATUS_PASSWORD:-}'}\n",
    ],
)
def test_the_variable_is_enough(tmp_path: Path, file: str | None) -> None:
    """With a file and without. The value is taken as it is."""
    assert password_of(loaded(tmp_path, file, STATUS_PASSWORD=PASSWORD)) == PASSWORD
    assert PASSWORD in loaded(tmp_path, file, STATUS_PASSWORD=PASSWORD).secrets()


@pytest.mark.parametrize("environ", [{}, {"STATUS_PASSWORD": ""}])
def test_without_a_password_nobody_is_asked(tmp_path: Path, environ: dict[str, str]) -> None:
    """An empty variable is one that is not set, as everywhere."""
    assert password_of(loaded(tmp_path, "page: {password: '${STATUS_PASSWORD:-}'}\n", **environ)) is None
    assert password_of(loaded(tmp_path, None, **environ)) is None


def test_the_file_may_name_another(tmp_path: Path) -> None:
    """What the file says of the page overrides what only the environment says."""
    settings = loaded(tmp_path, "page: {password: '${OTHER}'}\n", STATUS_PASSWORD="a", OTHER="b")
    assert password_of(settings) == "b"


@pytest.mark.parametrize("given", [" ", "\t", f"{PASSWORD}\n", f" {PASSWORD}"])
def test_blanks_around_a_password_are_a_mistake(tmp_path: Path, given: str) -> None:
    """A newline that was pasted along would lock everybody out, a blank alone would let everybody in."""
    with pytest.raises(ConfigMistakesError) as raised:
        loaded(tmp_path, None, STATUS_PASSWORD=given)
    [mistake] = raised.value.mistakes
    assert str(mistake).startswith("STATUS_PASSWORD: wanted a password without spaces around it")
    assert PASSWORD not in str(mistake)


@pytest.fixture
def upstash() -> Iterator[UpstashStandIn]:
    with UpstashStandIn("t0ken") as running:
        yield running


def status_of(port: int, path: str, **headers: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=LONGEST_WAIT_SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_running_program_asks_for_it_and_never_shows_it(tmp_path: Path, upstash: UpstashStandIn) -> None:
    """`/healthz` is open, all else is closed; neither the log nor `config show` holds it."""
    config: dict[str, Any] = settings(
        database("main", upstash.url), page={"host": "127.0.0.1", "port": 0}, logs={"level": "DEBUG"}
    )
    program = Program(tmp_path, config, STATUS_PASSWORD=PASSWORD)
    with program.running() as running:
        running.wait_for("/healthz on port")
        [line] = [line for line in running.lines if "/healthz on port" in line]
        port = int(line.rpartition(" ")[2])
        given = "Basic " + b64encode(f"me:{PASSWORD}".encode()).decode()
        assert status_of(port, "/healthz") == 200
        assert status_of(port, "/nothing") == 401
        assert status_of(port, "/nothing", Authorization=given) == 404
        ended = running.end()
    assert ended.status == 0
    shown = program.end("config", "show")
    assert "password: '***'" in shown.stdout.replace('"', "'")
    for output in (ended.stdout, shown.stdout, shown.stderr, json.dumps(program.end("check", "--json").stdout)):
        assert PASSWORD not in output
        assert "es@me" not in output


def test_a_monitor_without_a_port_does_not_import_the_page() -> None:
    """Templates and server are megabytes that nobody would use."""
    names = "('jinja2', 'starlette', 'uvicorn', 'monitor.web')"
    code = f"import sys, monitor.cli.run; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_page_that_nobody_opens_does_not_import_its_templates() -> None:
    """Many a port is open for `/healthz` alone; nor is the metrics' library imported before the first scrape."""
    code = (
        "import sys; from monitor.web.app import build_app; build_app(None, None, missed_checks=None);"
        "names = ('jinja2', 'prometheus_client', 'monitor.web.pages.pages');"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
