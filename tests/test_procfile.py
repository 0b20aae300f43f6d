"""The Procfile's command, run as Railway's builder runs it: only the pinned requirements, a clean folder, bash -c.

Railpack (railwayapp/railpack) installs requirements.txt, copies the source, and starts `/bin/bash -c "COMMAND"`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from monitor.sandbox.upstash import UpstashStandIn
from tests.program import LONGEST_WAIT_SECONDS, ROOT, Running, assert_discreet

TOKEN, OTHER_TOKEN = "AXprocfile0Token1234", "AXanother0Token56789"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, pinned_environment: Path) -> Path:
    """A folder with the files of the project that are under version control, and an environment beside it."""
    folder = tmp_path_factory.mktemp("app")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout; the Debian package git is needed as well")
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    (folder / ".venv").symlink_to(pinned_environment)
    return folder


def configure(app: Path, *, interval: str) -> None:
    """Settings without hosts on the internet; the values are the variables'."""
    settings = {
        "databases": [
            {
                "name": "main",
                "url": "${UPSTASH_REDIS_REST_URL}",
                "token": "${UPSTASH_REDIS_REST_TOKEN}",
                "interval": interval,
            }
        ],
        "connectivity": [],
        "alerts": {"confirm_interval": "50ms", "diagnose": False},
        "doctor": {"status_url": ""},
        "page": {"host": "127.0.0.1", "port": "${PORT:-}"},
        "logs": {"level": "DEBUG"},
    }
    (app / "config.yaml").write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML


def environ(app: Path, upstash: UpstashStandIn | None = None, **more: str) -> dict[str, str]:
    """What Railway's images set, and the variables of a service."""
    if upstash is not None:
        more |= {"UPSTASH_REDIS_REST_URL": upstash.url, "UPSTASH_REDIS_REST_TOKEN": TOKEN}
    return {
        "PATH": f"{app}/.venv/bin:{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        # Railway sets this to 1; here what the first process compiles spares the others half a second each.
        "PYTHONPYCACHEPREFIX": f"{app}/.cache",
        "RAILWAY_PROJECT_ID": "p",
        "RAILWAY_SERVICE_NAME": "monitor",
        **more,
    }


@contextmanager
def started(app: Path, command: str, environment: Mapping[str, str]) -> Iterator[Running]:
    running = Running(
        subprocess.Popen(
            ["/bin/bash", "-c", command],
            cwd=app,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    )
    try:
        yield running
    finally:
        running.kill()
        assert running.process.stdout is not None
        running.process.stdout.close()


def run(app: Path, command: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The command, to its end, as Railway starts one: by bash, without a terminal."""
    return subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=app,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_WAIT_SECONDS * 2,
        check=False,
    )


def test_the_procfile_has_one_process_and_hands_signals_on() -> None:
    """Railway runs one process of a Procfile; without `exec` bash would keep SIGTERM to itself.

    A Dockerfile at the root would be taken in its place.
    """
    assert not (ROOT / "Dockerfile").exists()
    [line] = (ROOT / "Procfile").read_text(encoding="utf-8").strip().splitlines()
    kind, _, command = line.partition(": ")
    assert kind == "worker"
    assert command.startswith("exec ")


def test_railways_start_and_stop(app: Path, tmp_path: Path) -> None:
    """It checks, logs JSON, answers on Railway's port, outlives SIGKILL in an incident, and ends on SIGTERM.

    What was open goes on from the volume: one opening, one closing, no second incident.
    """
    command = (ROOT / "Procfile").read_text(encoding="utf-8").partition(": ")[2].strip()
    with UpstashStandIn(TOKEN) as upstash:
        configure(app, interval="1s")
        variables = environ(app, upstash, PORT="0", RAILWAY_VOLUME_MOUNT_PATH=str(tmp_path))
        with started(app, command, variables) as running:
            running.wait_for("main: ok")
            [start] = [json.loads(line)["message"] for line in running.lines if "/healthz on port" in line]
            port = start.rpartition(" ")[2]
            with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=LONGEST_WAIT_SECONDS) as answer:
                assert answer.status == 200
            upstash.token = OTHER_TOKEN
            running.wait_for("incident 1 opened (token rejected)")
            running.kill()
        with started(app, command, variables) as again:
            again.wait_for("token rejected")
            upstash.token = TOKEN
            again.wait_for("incident 1 closed")
            ended = again.end(signal.SIGTERM)
        assert (ended.status, "opened (" in ended.stdout, "incident 2" in ended.stdout) == (0, False, False)
        assert ended.seconds < 5
        assert (tmp_path / "history.db").exists()
        assert TOKEN not in running.said + ended.stdout


# All in one process: each of its own would take a second just to start.
IN_TURN = """
import json, sys
from monitor.cli.main import main
for words in json.loads(sys.argv[1]):
    try:
        main(words.split())
    except SystemExit as end:
        print(words, "ended with", end.code)
"""


def test_every_command_of_the_page_on_railway_runs(app: Path) -> None:
    """Each that docs/railway.md shows and that ends by itself, with the pinned requirements, on no volume.

    `run` and `doctor --fix` have tests of their own. `check` is started by bash, as Railway starts it.
    Nothing that only developers have is needed by any command, and none shows a secret.
    """
    shown = (ROOT / "docs" / "railway.md").read_text(encoding="utf-8")
    # There is no volume here, and no folder /data.
    commands = {
        words.replace("/data/", "") for words in re.findall(r"`(?:exec )?python -m monitor ([^`]+)`", shown)
    }
    assert commands >= {"run", "check --exit-zero"}
    others = [*sorted(commands - {"run", "check --exit-zero"}), "--help", "demo --help", "config schema"]
    with UpstashStandIn(OTHER_TOKEN) as upstash:
        configure(app, interval="5m")
        variables = environ(app, upstash, PORT="0")
        check = run(app, "exec python -m monitor check --exit-zero", variables)
        rest = run(app, f"exec python -c {shlex.quote(IN_TURN)} {shlex.quote(json.dumps(others))}", variables)
    assert (check.returncode, rest.returncode) == (0, 0), check.stderr + rest.stderr
    assert "no Railway volume" in check.stderr
    assert "main token rejected" in check.stdout
    for words in others:
        assert f"{words} ended with {2 if words == 'doctor' else 0}\n" in rest.stdout, rest.stdout + rest.stderr
    said = check.stdout + check.stderr + rest.stdout + rest.stderr
    assert "Traceback" not in said
    assert_discreet(said, (TOKEN,), "the commands of docs/railway.md")
