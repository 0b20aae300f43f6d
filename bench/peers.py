"""What people would otherwise use, from Debian: Prometheus with blackbox exporter and Alertmanager, and Monit.

Each watches the same server as we do, as often, with the rule that comes closest to ours (three failures), and
tells an inbox of its own. Alertmanager's `group_wait` is 0, since its 30 s would be added to every figure.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.ports import free_port

INTERVAL_SECONDS = 5
TIMEOUT_SECONDS = 2
_FAILURES = 3
# From Debian; the program, and the package that has it.
_STACK_PROGRAMS = {
    "prometheus": "prometheus",
    "prometheus-blackbox-exporter": "prometheus-blackbox-exporter",
    "prometheus-alertmanager": "prometheus-alertmanager",
}
_MONIT_PROGRAMS = {"monit": "monit"}
_STOP_SECONDS = 10
# Standing in a shell's single quotes.
_POST = (
    "import json, sys, urllib.request as r;"
    ' r.build_opener(r.ProxyHandler({})).open(sys.argv[1], json.dumps({"text": sys.argv[2]}).encode())'
)
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A database, by its REST URL over plain HTTP, and where its trouble is told."""

    url: str
    token: str
    webhook_url: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Peer:
    """A kind of monitor. `opened` and `closed` stand in its messages; `programs` has packages by program."""

    name: str
    opened: str
    closed: str
    programs: dict[str, str]

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages that are to be installed first."""
        return tuple(package for program, package in self.programs.items() if shutil.which(program) is None)

    @property
    def version(self) -> str:
        """Its name with the versions of its programs."""
        return f"{self.name} ({', '.join(f'{program} {_version(program)}' for program in self.programs)})"


STACK = Peer(name="Prometheus stack", opened="firing", closed="resolved", programs=_STACK_PROGRAMS)
MONIT = Peer(name="Monit", opened="opened", closed="closed", programs=_MONIT_PROGRAMS)
PEERS = (STACK, MONIT)


def installed() -> list[Peer]:
    """The peers that can be started here."""
    return [peer for peer in PEERS if not peer.missing]


def about() -> list[str]:
    """The versions of what is installed, and the packages of what is not."""
    return [
        f"not measured: {peer.name}. Next: apt-get install {' '.join(peer.missing)}"
        if peer.missing
        else peer.version
        for peer in PEERS
    ]


@contextmanager
def watching(peer: Peer, folder: Path, target: Target) -> Iterator[tuple[int, ...]]:
    """The peer at work until the end of the block: the numbers of its processes."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        yield tuple(stack.enter_context(_running(command, folder)) for command in commands(peer, folder, target))


def commands(peer: Peer, folder: Path, target: Target) -> list[Sequence[str]]:
    """What starts the peer, in order; its files are written into the folder, whose path must have no spaces."""
    return [*(_monit(folder, target) if peer is MONIT else _prometheus(folder, target))]


def _prometheus(folder: Path, target: Target) -> Iterator[Sequence[str]]:
    blackbox, alerts, own = free_port(), free_port(), free_port()
    module = {
        "prober": "http",
        "timeout": f"{TIMEOUT_SECONDS}s",
        "http": {
            "method": "POST",
            "body": '["PING"]',
            "headers": {"Authorization": f"Bearer {target.token}"},
            "valid_status_codes": [200],
            "fail_if_body_not_matches_regexp": ["result"],
        },
    }
    scrape = {
        "job_name": "database",
        "metrics_path": "/probe",
        "params": {"module": ["database"], "target": [target.url]},
        "static_configs": [{"targets": [f"127.0.0.1:{blackbox}"]}],
    }
    rule = {
        "alert": "DatabaseDown",
        "expr": "probe_success == 0",
        # The third evaluation that fails.
        "for": f"{(_FAILURES - 1) * INTERVAL_SECONDS}s",
    }
    every = f"{INTERVAL_SECONDS}s"
    _write(folder / "blackbox.yml", {"modules": {"database": module}})
    _write(folder / "rules.yml", {"groups": [{"name": "bench", "rules": [rule]}]})
    _write(
        folder / "prometheus.yml",
        {
            "global": {"scrape_interval": every, "scrape_timeout": "4s", "evaluation_interval": every},
            "rule_files": ["rules.yml"],
            "scrape_configs": [scrape],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alerts}"]}]}]},
        },
    )
    _write(
        folder / "alertmanager.yml",
        {
            "route": {"receiver": "inbox", "group_wait": "0s", "group_interval": "1s"},
            "receivers": [{"name": "inbox", "webhook_configs": [{"url": target.webhook_url}]}],
        },
    )
    listen = "--web.listen-address=127.0.0.1:"
    yield ("prometheus-blackbox-exporter", "--config.file=blackbox.yml", f"{listen}{blackbox}")
    yield (
        "prometheus-alertmanager",
        "--config.file=alertmanager.yml",
        "--storage.path=alertmanager",
        "--cluster.listen-address=",
        f"{listen}{alerts}",
    )
    yield ("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"{listen}{own}")


def _monit(folder: Path, target: Target) -> Iterator[Sequence[str]]:
    address, port = target.url.removeprefix("http://").split(":")
    for word in ("opened", "closed"):
        script = folder / word
        # Monit's own HTTP check has GET and HEAD only, and its messages go by mail or through a program.
        script.write_text(f"#!/bin/sh\nexec {sys.executable} -I -c '{_POST}' {target.webhook_url} {word}\n")
        script.chmod(0o700)
    body = '["PING"]'
    request = (
        f"POST / HTTP/1.1\\r\\nHost: {address}\\r\\nAuthorization: Bearer {target.token}\\r\\n"
        f"Content-Type: application/json\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}"
    )
    config = folder / "monitrc"
    config.write_text(
        f"set daemon {INTERVAL_SECONDS}\n"
        f"set statefile {folder}/state\nset idfile {folder}/id\nset pidfile {folder}/pid\n"
        f"check host database with address {address}\n"
        f"  if failed port {port} type tcp\n"
        f"    send '{request}'\n"
        f"    expect 'HTTP/1.1 200'\n"
        f"    with timeout {TIMEOUT_SECONDS} seconds for {_FAILURES} cycles\n"
        f"  then exec '{folder}/opened' else if succeeded then exec '{folder}/closed'\n"
    )
    config.chmod(0o600)
    yield ("monit", "-I", "-c", str(config))


@contextmanager
def _running(command: Sequence[str], folder: Path) -> Iterator[int]:
    with (folder / f"{command[0]}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        time.sleep(0.5)
        if process.poll() is not None:
            words = (folder / f"{command[0]}.log").read_text(errors="replace").strip().splitlines()[-3:]
            raise RuntimeError(f"{command[0]} did not start:\n" + "\n".join(words))
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = _VERSION.search(done.stdout + done.stderr)
    return found[0] if found else "of unknown version"


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values))  # JSON is YAML
