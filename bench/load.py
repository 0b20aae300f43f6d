"""The server of many databases, as the lines see it: started, asked what it saw, ended.

What it does is in `server`, which runs in another process so that neither side's work delays the other's clock.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.server import Options


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One answer: epoch seconds at the request's last byte, and the delay until the answer left."""

    arrived: float
    delay_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What the server saw: how often each command came, and the answers of each database, in their order."""

    commands: dict[str, int]
    answers: dict[str, list[Answer]]


class Load:
    """A running server. `url` is by name, so that a check has a lookup too; `address_url` is by number."""

    def __init__(self, process: subprocess.Popen[str], *, encrypted: bool) -> None:
        self._process = process
        ports = self._read()
        scheme = "https" if encrypted else "http"
        self.url = f"{scheme}://localhost:{ports['port']}"
        self.address_url = f"{scheme}://127.0.0.1:{ports['port']}"
        self.black_hole_url = f"{scheme}://127.0.0.1:{ports['black_hole']}"
        # It accepts connections as a connectivity host does; the real ones are not asked from a bench.
        self.host = f"127.0.0.1:{ports['port']}"

    def seen(self) -> Seen:
        """Everything since the start."""
        values = self._ask("report")
        return Seen(
            commands=values["commands"],
            answers={
                name: [Answer(arrived=arrived, delay_ms=delay) for arrived, delay in answers]
                for name, answers in values["answers"].items()
            },
        )

    def reject_tokens(self) -> None:
        """From now on every token is wrong."""
        self._ask("reject")

    def _ask(self, order: str) -> Any:
        if self._process.stdin is None:
            raise RuntimeError("the server was started without an input")
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the server ended by itself; its words are above")
        return json.loads(line)


@contextmanager
def serving(options: Options) -> Iterator[Load]:
    """A server until the end of the block."""
    command = [sys.executable, "-m", "bench.server", options.to_json()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Load(process, encrypted=options.chain is not None)
        finally:
            process.kill()
