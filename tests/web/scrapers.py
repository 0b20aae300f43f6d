"""Real programs that read metrics, on loopback: Prometheus with its family, and a server they may scrape."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from monitor.web.metrics import Exposition
from tests.program import LONGEST_WAIT_SECONDS, Running
from tests.web.figures import Series

# What Prometheus says of a scrape by itself, and the labels it adds to everything.
_OWN = re.compile(r"up|scrape_\w+")
_ADDED = {"__name__", "job", "instance"}


def get(address: str, path: str) -> tuple[int, str]:
    """Status and body; no proxy of this machine's environment is asked."""
    connection = http.client.HTTPConnection(address, timeout=LONGEST_WAIT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def read(text: str, *, as_openmetrics: bool = False) -> Series:
    """The series in a text, each once."""
    parse = openmetrics.text_string_to_metric_families if as_openmetrics else text_string_to_metric_families
    samples = [sample for family in parse(text) for sample in family.samples]
    series = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(series) == len(samples), "a series stands there twice"
    return series


class Prometheus:
    """Prometheus at work on its address."""

    def __init__(self, address: str) -> None:
        self._address = address

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The instant vector of an expression; empty as well while Prometheus is still starting."""
        status, body = get(self._address, "/api/v1/query?" + urlencode({"query": promql}))
        return json.loads(body)["data"]["result"] if status == 200 else []

    def series(self, job: str) -> Series:
        """Every series of a job but those about the scrape itself, without the labels that Prometheus adds."""
        rows = [(row["metric"], float(row["value"][1])) for row in self.query(f'{{job="{job}"}}')]
        return {
            (labels["__name__"], frozenset((name, labels[name]) for name in labels.keys() - _ADDED)): value
            for labels, value in rows
            if not _OWN.fullmatch(labels["__name__"])
        }


@contextmanager
def prometheus(folder: Path, jobs: list[dict[str, Any]], **rest: Any) -> Iterator[Prometheus]:
    """Prometheus with these scrape configurations, once a second; killed when the block is left.

    `rest` is what its configuration has beside them.
    """
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs, **rest}
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    words = ("--config.file=prometheus.yml", "--storage.tsdb.path=data")
    with _started("prometheus", *words, package="prometheus", folder=folder) as address:
        yield Prometheus(address)


@contextmanager
def pushgateway(folder: Path) -> Iterator[str]:
    """A Pushgateway; yields HOST:PORT."""
    with _started("prometheus-pushgateway", package="prometheus-pushgateway", folder=folder) as address:
        yield address


@contextmanager
def alertmanager(folder: Path, config: dict[str, Any]) -> Iterator[str]:
    """An Alertmanager without others beside it; yields HOST:PORT."""
    # JSON is YAML, but for its escapes of what is beyond 16 bits.
    (folder / "alertmanager.yml").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    program = "prometheus-alertmanager" if shutil.which("prometheus-alertmanager") else "alertmanager"
    words = ("--config.file=alertmanager.yml", "--storage.path=alertmanager", "--cluster.listen-address=")
    with _started(program, *words, package="prometheus-alertmanager", folder=folder) as address:
        yield address


@contextmanager
def _started(program: str, *words: str, package: str, folder: Path) -> Iterator[str]:
    """A program of Prometheus' family on a free port, which it names in its log."""
    if shutil.which(program) is None:
        pytest.skip(f"wanted {program}, found none. Next: apt-get install {package}")
    process = subprocess.Popen(
        [program, *words, "--web.listen-address=127.0.0.1:0"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Running(process)
    try:
        running.wait_for("TLS is disabled.")
        found = re.search(r'msg="Listening on" address=(\S+)', running.said)
        assert found is not None, running.said
        yield found[1]
    finally:
        running.kill()
        assert process.stdout is not None
        process.stdout.close()


def promtool(*words: str, text: str = "") -> str:
    """What promtool has to say, of a text on its stdin or of files; empty when it is content."""
    if shutil.which("promtool") is None:
        pytest.skip("wanted promtool, found none. Next: apt-get install prometheus")
    done = subprocess.run(["promtool", *words], input=text, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@contextmanager
def serving(answer: Callable[[str], Exposition]) -> Iterator[str]:
    """A server on loopback that gives the exposition for an `Accept` header; yields HOST:PORT."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            exposition = answer(self.headers.get("Accept", ""))
            self.send_response(200)
            self.send_header("Content-Type", exposition.content_type)
            self.send_header("Content-Length", str(len(exposition.body)))
            self.end_headers()
            self.wfile.write(exposition.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads an access log here."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
