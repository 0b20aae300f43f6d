"""The real program as a process in a folder of its own: how it is started, its output read, and ended."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from unittest.mock import patch
from urllib.parse import quote, urlsplit

import pytest
from loguru import logger

from monitor.cli.main import main
from monitor.sandbox.messaging import MessagingStandIn
from tests.judging import QUICK_RULES

TELLS = re.compile(r"incident (\d+) · (\w+)")
ROOT = Path(__file__).parents[1]
# Generous: the machine may be busy, and what happens ends the wait. A test that waits this long has failed.
LONGEST_WAIT_SECONDS = 120.0
# Run at the interpreter's start.
_LOADED = """
import time
from monitor.cli.check import check
from monitor.engine import round, wiring
from monitor.web import metrics

check.STARTED = time.monotonic()
"""
# Commands that run on, or change what is the whole process's own.
_PROCESSES = ("run", "demo")


def until(condition: Callable[[], object], what: str, *, seconds: float = LONGEST_WAIT_SECONDS) -> None:
    """Wait until it holds; say what did not when it does not."""
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, f"waited {seconds:g} s in vain for {what}"
        sleep(0.02)


# Keys of settings and names of variables whose values must never leave the process.
_SECRET = re.compile(r"(token|webhook_url|api_key|password)$", re.IGNORECASE)
_PIECE = 10


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Our Makefile, as a person calls it: one `make` below another writes more, and these tests run in one."""
    program = shutil.which("make")
    if program is None:
        pytest.skip("wanted make, found none. Next: apt-get install make")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        [program, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )


def assert_discreet(said: str, secrets: Iterable[str], where: str) -> None:
    """Nothing that was said holds a secret, or so many characters in a row of one, in any case.

    Neither plain, nor in one of the forms that escape or encode each character, nor in base64, alone or behind a
    user's name.
    """
    said = said.lower()
    for secret in secrets:
        pieces = {secret[start : start + _PIECE] for start in range(max(1, len(secret) - _PIECE + 1))}
        for written in FORMS.values():
            told = [piece for piece in pieces if len(piece) == _PIECE and written(piece).lower() in said]
            assert not told, f"{where} gives a secret away"
        for form in _in_base64(secret):
            told = [
                form[at : at + _PIECE] for at in range(len(form) - _PIECE + 1) if form[at : at + _PIECE] in said
            ]
            assert not told, f"{where} gives a secret away"


# How a program may write a text, character by character.
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "quoted": lambda text: quote(text, safe=""),
    "path": quote,
    "again": lambda text: quote(quote(text, safe="")),
    "json": lambda text: json.dumps(text)[1:-1],
    "html": html.escape,
    "bytes": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "units": lambda text: "".join(f"%u{ord(character):04x}" for character in text),
    "escapes": lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
    "braces": lambda text: "".join(f"\\u{{{ord(character):x}}}" for character in text),
    "mail": lambda text: "".join(f"={byte:02x}" for byte in text.encode()),
    "hex": lambda text: text.encode().hex(),
    "spaced": lambda text: text.encode().hex(" "),
    "colons": lambda text: text.encode().hex(":"),
    "list": lambda text: ", ".join(map(str, text.encode())),
    "entities": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "wide": lambda text: "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text),
}


def _in_base64(secret: str) -> Iterator[str]:
    """In each place that it may have in a text; without the edges, where a neighbour's bits are mixed in."""
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b" " * shift + secret.encode()).decode()[4:-4].lower()


def secrets_in(values: Any, key: str = "") -> Iterator[str]:
    """The secrets of settings or of an environment, by what they are called."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            yield from secrets_in(value, str(name))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from secrets_in(value, key)
    elif isinstance(values, str) and _SECRET.search(key) and not values.startswith("${"):
        # Of a webhook's URL the host is no secret.
        yield urlsplit(values).path.lstrip("/") if values.startswith("http") else values


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended: its status, what it said, and how long it took."""

    status: int
    stdout: str
    stderr: str
    seconds: float


class Running:
    """A process that is under way; what it says is read along."""

    def __init__(self, process: subprocess.Popen[str], secrets: tuple[str, ...] = ()) -> None:
        self.process = process
        self._secrets = secrets
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str, *, times: int = 1) -> None:
        """Wait until it has said that, so many times."""

        def has_said() -> bool:
            return self.said.count(text) >= times or self.process.poll() is not None

        until(has_said, f"{text!r} in the log")
        assert self.said.count(text) >= times, f"it ended without saying {text!r}:\n{self.said}"

    def end(self, *signs: signal.Signals) -> Ended:
        """Send the signals, SIGTERM unless others are named, and wait for the end."""
        started = monotonic()
        for sign in signs or (signal.SIGTERM,):
            self.process.send_signal(sign)
        status = self.process.wait(LONGEST_WAIT_SECONDS)
        seconds = monotonic() - started
        self._reader.join(LONGEST_WAIT_SECONDS)
        return Ended(status=status, stdout=self.said, stderr="", seconds=seconds)

    def kill(self) -> None:
        """SIGKILL, whatever it is doing; and whatever it has said held no secret."""
        self.process.kill()
        self.process.wait(LONGEST_WAIT_SECONDS)
        self._reader.join(LONGEST_WAIT_SECONDS)
        assert_discreet(self.said, self._secrets, "the log")


class Program:
    """`python -m monitor` with these settings; nothing of this machine's environment but what a process needs.

    `before` is what its command line begins with: what starts it elsewhere, or with less.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], **environ: str) -> None:
        self.folder = folder
        self.file = folder / "history.db"
        self.before: Sequence[str] = ()
        self.environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ}
        self._secrets: set[str] = set()
        self.set(settings)

    def set(self, settings: Mapping[str, Any]) -> None:
        """Write config.yaml; JSON is YAML."""
        self._secrets = {*self._secrets, *secrets_in(settings), *secrets_in(self.environ)}
        (self.folder / "config.yaml").write_text(json.dumps(settings), encoding="utf-8")

    def count_from_loaded(self) -> None:
        """`--within` counts from when all is loaded, which takes seconds of it where the machine is busy."""
        (self.folder / "sitecustomize.py").write_text(_LOADED, encoding="utf-8")
        self.environ["PYTHONPATH"] = f"{self.folder}{os.pathsep}{ROOT}"

    @contextmanager
    def running(self, *words: str) -> Iterator[Running]:
        """`run`, or other words, until the block is left; killed there if it still runs."""
        running = Running(
            subprocess.Popen(
                [*self.before, sys.executable, "-m", "monitor", *(words or ("run",))],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ),
            tuple(self._secrets),
        )
        try:
            yield running
        finally:
            running.kill()
            assert running.process.stdout is not None
            running.process.stdout.close()

    def end(self, *words: str) -> Ended:
        """Run to the end. Neither what it says nor the file that it leaves holds a secret.

        A command that ends by itself needs no process of its own, which costs 0.7 s of CPU: see `answer`.
        """
        ends = "-h" in words or (words[:1] not in [(name,) for name in _PROCESSES] and "--within" not in words)
        # Another PYTHONPATH has something for the interpreter's start.
        here = ends and self.environ["PYTHONPATH"] == str(ROOT)
        return self._checked(words, answer if here else _in_process)

    def end_process(self, *words: str) -> Ended:
        """As `end`, in a process of its own, whichever command it is."""
        return self._checked(words, _in_process)

    def _checked(self, words: tuple[str, ...], run: Callable[..., tuple[int, str, str]]) -> Ended:
        started = monotonic()
        status, stdout, stderr = run(words, self.folder, self.environ)
        seconds = monotonic() - started
        assert_discreet(stdout + stderr, self._secrets, " ".join(words))
        if self.file.exists():
            assert_discreet(self.file.read_bytes().decode("latin-1"), self._secrets, "the history file")
        return Ended(status=status, stdout=stdout, stderr=stderr, seconds=seconds)


def answer(words: tuple[str, ...], folder: Path, environ: Mapping[str, str]) -> tuple[int, str, str]:
    """Status, stdout and stderr of a command that is run within this process, which is as it was afterwards.

    `check` has no limit here: it would end this process, and much later.
    """
    # With bytes underneath, as the real ones: what is exported is written there.
    stdout, stderr = (TextIOWrapper(BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        _logs_as_before(),
        patch("monitor.cli.check.check.STARTED", monotonic()),
        patch("monitor.cli.check.output._call_after"),
        chdir(folder),
        patch.dict(os.environ, environ, clear=True),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
        pytest.raises(SystemExit) as end,
    ):
        main(list(words))
    assert isinstance(end.value.code, int)
    said = [stream.detach().getvalue().decode() for stream in (stdout, stderr)]
    return end.value.code, said[0], said[1]


@contextmanager
def _logs_as_before() -> Iterator[None]:
    """Take away again what a command sets up for its log: it would hide from pytest what later tests do wrong."""
    handlers, level = logging.root.handlers[:], logging.root.level
    with (
        patch.object(sys, "excepthook", sys.excepthook),
        patch.object(sys, "unraisablehook", sys.unraisablehook),
        patch.object(threading, "excepthook", threading.excepthook),
    ):
        yield
    logger.remove()
    logging.captureWarnings(capture=False)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def _in_process(words: tuple[str, ...], folder: Path, environ: Mapping[str, str]) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "monitor", *words],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_WAIT_SECONDS + 60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def database(name: str, url: str, token: str = "t0ken", **knobs: Any) -> dict[str, Any]:
    """An entry of `databases`, checked every second, and without a canary: one check is one request."""
    return {"name": name, "url": url, "token": token, "interval": "1s", "canary": "off", **knobs}


def slack(inbox: MessagingStandIn) -> list[dict[str, str]]:
    """An entry of `channels` for that inbox."""
    return [{"type": "slack", "webhook_url": inbox.slack_url}]


def told(inbox: MessagingStandIn) -> list[tuple[int, str]]:
    """Incident and kind of each message that arrived, in order; messages without an incident are left out."""
    found = (TELLS.search(message.text) for message in inbox.messages)
    return [(int(match[1]), match[2]) for match in found if match]


def settings(*databases: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
    """Settings without connectivity hosts, with the shortest pauses, and without a status page on the internet.

    The doctor itself is left out too, unless `alerts` says otherwise: it has its own tests.
    """
    return {
        "databases": list(databases),
        "connectivity": [],
        "alerts": {**QUICK_RULES, "diagnose": False},
        "doctor": {"status_url": ""},
        **rest,
    }
