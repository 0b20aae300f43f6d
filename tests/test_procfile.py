"""The Procfile's command, run as Railway's builder runs it: only the pinned requirements, a clean folder, bash -c.

Railpack (railwayapp/railpack) installs requirements.txt, copies the source, and starts `/bin/bash -c "COMMAND"`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from monitor.sandbox.upstash import UpstashStandIn
from tests.program import LONGEST_WAIT_SECONDS, ROOT, Running

TOKEN = "AXprocfile0Token1234"


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


def environ(app: Path, **more: str) -> dict[str, str]:
    """What Railway's images set, and the variables of a service."""
    return {
        "PATH": f"{app}/.venv/bin:{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
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


def test_the_procfile_has_one_process_and_hands_signals_on() -> None:
    """Railway runs one process of a Procfile; without `exec` bash would keep SIGTERM to itself.

    A Dockerfile at the root would be taken in its place.
    """
    assert not (ROOT / "Dockerfile").exists()
    [line] = (ROOT / "Procfile").read_text(encoding="utf-8").strip().splitlines()
    kind, _, command = line.partition(": ")
    assert kind == "worker"
    assert command.startswith("exec ")


def test_railways_start_and_stop(app: Path) -> None:
    """It checks, logs JSON, answers on Railway's port, warns of a disk without a volume, and ends on SIGTERM."""
    command = (ROOT / "Procfile").read_text(encoding="utf-8").partition(": ")[2].strip()
    with UpstashStandIn(TOKEN) as upstash:
        (app / "config.yaml").write_text(
            "databases:\n  - {name: main, url: '${UPSTASH_REDIS_REST_URL}', token: '${UPSTASH_REDIS_REST_TOKEN}',"
            " interval: 1s}\nconnectivity: []\npage: {host: 127.0.0.1, port: '${PORT:-}'}\n"
            "logs: {level: DEBUG}\n",
            encoding="utf-8",
        )
        variables = environ(app, UPSTASH_REDIS_REST_URL=upstash.url, UPSTASH_REDIS_REST_TOKEN=TOKEN, PORT="0")
        with started(app, command, variables) as running:
            running.wait_for("main: ok")
            assert "no Railway volume" in running.said
            [start] = [json.loads(line)["message"] for line in running.lines if "/healthz on port" in line]
            port = start.rpartition(" ")[2]
            with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=LONGEST_WAIT_SECONDS) as answer:
                assert answer.status == 200
            ended = running.end(signal.SIGTERM)
        assert ended.status == 0
        assert ended.seconds < 5
        assert TOKEN not in ended.stdout


def test_every_command_runs_with_the_pinned_requirements_alone(app: Path) -> None:
    """Nothing that only developers have is needed by any command."""
    python = app / ".venv" / "bin" / "python"
    for words in (("--help",), ("run", "--help"), ("check", "--help"), ("demo", "--help"), ("config", "schema")):
        done = subprocess.run(
            [python, "-m", "monitor", *words],
            cwd=app,
            # Compiled by the first, for the others; what is compiled is no question here.
            env=environ(app, PYTHONDONTWRITEBYTECODE=""),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
