"""The real program in a process of its own, as an operator starts it, and what the system says of that process."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.processes import cpu_seconds
from bench.server import TOKEN_PREFIX

_ROOT = Path(__file__).parents[1]
_START_SECONDS = 60
_STOP_SECONDS = 10
Config = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckRow:
    """One row of the history; `at` in epoch seconds."""

    database: str
    at: float
    outcome: str
    latency_ms: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """A program that ran to its end: its stdout, and what it cost."""

    output: str
    wall_seconds: float
    cpu_seconds: float
    peak_mb: float


class Program:
    """A running monitor. Made by `watching`."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        """User and system time of all its threads, those that have ended included, to the nanosecond."""
        return cpu_seconds([self.pid])

    def resident_mb(self) -> float:
        return self._status("VmRSS")

    def peak_mb(self) -> float:
        return self._status("VmHWM")

    def wait_until_watching(self) -> None:
        """Raises `RuntimeError` with its last words when it does not start."""
        end = time.monotonic() + _START_SECONDS
        while " watching " not in self.log:
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the monitor did not start:\n{_end_of(self.log)}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as an operator does; it must agree."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(_STOP_SECONDS)
        if status != 0:
            raise RuntimeError(f"the monitor ended with status {status}:\n{_end_of(self.log)}")

    def checks(self) -> list[CheckRow]:
        """The history, oldest first for each database; after `stop`."""
        with closing(sqlite3.connect(self._folder / "history.db")) as connection:
            rows = connection.execute(
                "SELECT database, at, outcome, latency_ms FROM history ORDER BY database, at"
            ).fetchall()
        return [
            CheckRow(database=name, at=datetime.fromisoformat(at).timestamp(), outcome=outcome, latency_ms=latency)
            for name, at, outcome, latency in rows
        ]

    def _status(self, key: str) -> float:
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024


def database(name: str, url: str, **more: Any) -> Config:
    """One database of a config; its token holds its name, so that a server can tell databases apart.

    Without a canary: what is measured is the check that happens every minute.
    """
    return {"name": name, "url": url, "token": TOKEN_PREFIX + name, "canary": "off", **more}


@contextmanager
def watching(folder: Path, config: Config, *, trusted: Path | None = None) -> Iterator[Program]:
    """`run` with this config until the end of the block; it has said that it watches."""
    _write_config(folder, config)
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "monitor", "run"]
        environ = _environ(trusted)
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT)
    try:
        program = Program(process, folder)
        program.wait_until_watching()
        yield program
    finally:
        process.kill()
        process.wait()


def check(folder: Path, config: Config, *, trusted: Path | None = None) -> Ran:
    """`check --json` once, from its start to its end; raises `RuntimeError` when the database is not fine."""
    _write_config(folder, config)
    figures = folder / "figures.json"
    launcher = [sys.executable, "-S", "-E", str(Path(__file__).with_name("launcher.py")), str(figures)]
    command = [*launcher, sys.executable, "-m", "monitor", "check", "--json"]
    done = subprocess.run(command, cwd=folder, env=_environ(trusted), capture_output=True, text=True, check=True)
    ran = json.loads(figures.read_text())
    if ran.pop("exit_status") != 0:
        raise RuntimeError(f"check did not find the database fine:\n{_end_of(done.stdout + done.stderr)}")
    return Ran(output=done.stdout, **ran)


@contextmanager
def calling(
    folder: Path, url: str, token: str, *, every: float, raw: bool = False, trusted: Path | None = None
) -> Iterator[int]:
    """The client alone, or a bare socket, at that pace until the end of the block: the number of its process."""
    command = [
        sys.executable,
        "-m",
        "bench.client",
        url,
        token,
        str(every),
        *(["--raw"] if raw else []),
    ]
    with subprocess.Popen(command, cwd=folder, env=_environ(trusted)) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def import_client(folder: Path) -> float:
    """Seconds that a process takes which reads in the client and ends."""
    command = [sys.executable, "-c", "import upstash_redis"]
    began = time.monotonic()
    subprocess.run(command, cwd=folder, env=_environ(None), check=True)
    return time.monotonic() - began


def _end_of(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-5:])


def _write_config(folder: Path, config: Config) -> None:
    # JSON is YAML too.
    # The doctor, asked when an incident opens, asks nobody outside this machine.
    outside = {"doctor": {"status_url": ""}}
    text = json.dumps({"history": {"path": str(folder / "history.db")}, **outside, **config})
    (folder / "config.yaml").write_text(text)


def _environ(trusted: Path | None) -> dict[str, str]:
    """What an installed program finds: no variables of ours, and bytecode where Python puts it.

    Elsewhere it would be compiled by whoever starts first, which costs that one 7 MB for good.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environ = kept | {"PYTHONPATH": str(_ROOT)}
    return environ if trusted is None else environ | {"SSL_CERT_FILE": str(trusted)}
