"""The word `demo` as a person types it: what it shows, how it ends, and that nothing is left of it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from monitor.cli.demo import demo
from monitor.cli.demo.steps import SLACK, STEPS, TELEGRAM
from monitor.cli.main import main
from tests.program import LONGEST_WAIT_SECONDS, Ended, Program, until

# What a developer's shell may hold; none of it concerns the demo, and nobody listens on port 9.
ENVIRONMENT = {
    "UPSTASH_REDIS_REST_URL": "http://127.0.0.1:9",
    "UPSTASH_REDIS_REST_TOKEN": "theRealTokenOfSomebody",
    "SLACK_WEBHOOK_URL": "http://127.0.0.1:9/services/real",
    "TELEGRAM_BOT_TOKEN": "123:real",
    "TELEGRAM_CHAT_ID": "1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
    "HEARTBEAT_URL": "http://127.0.0.1:9/ping",
    "PORT": "1",
}


class Place(Program):
    """A folder with settings that are not the demo's, and another for temporary files."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.temporary = folder / "temporary"
        here = folder / "here"
        for path in (self.temporary, here):
            path.mkdir()
        tidy = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8", "TMPDIR": str(self.temporary)}
        super().__init__(here, {"databases": "none of the demo's business"}, **tidy, **environ)

    def left_behind(self) -> list[str]:
        return sorted(path.name for folder in (self.folder, self.temporary) for path in folder.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def place_of_the_showing(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("demo"), **ENVIRONMENT)


@pytest.fixture(scope="module")
def showing(place_of_the_showing: Place) -> Ended:
    """One whole run; the tests below look at it from all sides."""
    return place_of_the_showing.end("demo", "--seconds", "6")


def _steps(text: str) -> list[str]:
    """What is shown in each of the six steps, the summary with the last of them."""
    return re.split(r"^Step (?=\d of 6 · )", text, flags=re.MULTILINE)[1:]


def _outcomes(text: str, database: str) -> list[str]:
    """What the checks of one database said, repetitions folded."""
    line = re.compile(rf"^ +[\d.]+ s  {database:<5}  .{{6}}  (\S.*?)(?:  .*)?$", re.MULTILINE)
    return [outcome for outcome, _ in groupby(line.findall(text))]


def test_the_story_is_told_to_its_end(showing: Ended) -> None:
    """Exit status 0, all six steps in their order, a summary, and not a word on stderr."""
    assert showing.stderr == ""
    assert showing.status == 0
    steps = re.findall(r"^Step (\d) of 6 · .+ ─+$", showing.stdout, re.MULTILINE)
    assert steps == ["1", "2", "3", "4", "5", "6"]
    assert "What you saw" in showing.stdout


def test_the_checks_tell_what_happens_to_main(showing: Ended) -> None:
    """Fine, silent, fine, a token that is not valid any more, fine; and cache is checked in every step."""
    seen = _outcomes(showing.stdout, "main")
    wanted = iter(seen)
    for outcome in ("ok", "response timed out", "ok", "token rejected", "ok"):
        assert outcome in wanted, seen
    assert seen[-1] == "ok"
    for step in _steps(showing.stdout):
        assert "cache" in step
        assert _outcomes(step, "cache") == ["ok"]


def test_messages_arrive_in_their_order_and_are_shown_in_full(showing: Ended) -> None:
    """Each with its headline and its number, in the service that the script shows; the other one has it too."""
    frames = re.findall(
        r"╭─ (Slack|Telegram) ─+╮\n +│ (.+?) +│\n(?:.*\n)+? +│ (incident .+?) +│\n +╰─ arrived [\d.]+ s after ",
        showing.stdout,
    )
    assert frames == [
        ("Slack", "🔴 main: response timed out · Upstash's move", "incident 1 · opened"),
        ("Slack", frames[1][1], "incident 1 · closed"),
        ("Telegram", "🔴 main: token rejected · your move", "incident 2 · opened"),
        ("Slack", "🔴 main: token rejected · your move", "incident 2 · opened"),
        ("Telegram", frames[4][1], "incident 2 · closed"),
    ]
    assert all("🟢 main: recovered after" in frames[closed][1] for closed in (1, 4))
    assert len(re.findall(r"→ (Slack|Telegram) has it too", showing.stdout)) == 3
    assert "1. Set UPSTASH_REDIS_REST_TOKEN of service worker to the console's" in showing.stdout
    assert "→ Slack did not take it: the service answered 503." in showing.stdout


def test_the_new_token_arrives_by_a_deployment(showing: Ended) -> None:
    """The program is stopped and started on the same history, which remembers the open incident."""
    step = _steps(showing.stdout)[5]
    stopped = step.index("→ stopped")
    started = step.index("→ started with the new token; it remembers incident 2\n")
    assert stopped < started < step.index("incident 2 closed")


def test_the_doctor_is_asked_about_each_fault_of_main(showing: Ended) -> None:
    """After the message its layers and its verdict: Upstash's move while the host is silent, then the token's."""
    steps = _steps(showing.stdout)
    assert ["─ verdict ─" in step for step in steps] == [False, True, False, True, False, False]
    silent, rotated = steps[1], steps[3]
    for step, message in ((silent, "incident 1 · opened"), (rotated, "incident 2 · opened")):
        assert step.index(message) < step.index("✓  configuration") < step.index("─ verdict ─")
        assert "the worker's connection" not in step
    assert re.search(r"✗  HTTP without a token +response timed out: connected, but", silent)
    assert "│ Upstash has posted trouble with Redis on its status page" in silent
    assert "│ whose move: Upstash " in silent.partition("─ verdict ─")[2]
    assert re.search(r"✗  token +token rejected: WRONGPASS invalid or missing", rotated)
    assert "│ The database refuses the token here, and the console has another" in rotated
    assert "│ whose move: yours " in rotated.partition("─ verdict ─")[2]


def test_the_summary_adds_up(showing: Ended) -> None:
    """Checks, incidents, messages, and what it cost: a canary at each database."""
    summary = showing.stdout.split("What you saw")[1]
    checks = len(re.findall(r"^ +[\d.]+ s  main ", showing.stdout, re.MULTILINE))
    assert f"main           {checks} checks: " in summary
    assert re.search(r"incident 1 +main: response timed out, over after (?:\d+ min )?\d+ s *\n", summary)
    assert re.search(r"incident 2 +main: token rejected, over after (?:\d+ min )?\d+ s *\n", summary)
    assert "4 in Slack, 4 in Telegram" in summary
    assert "6 commands: PING is free, a canary is three" in summary
    for word in ("init", "config check", "test-alerts", "run", "doctor"):
        assert f"python -m monitor {word}" in summary


def test_a_log_file_can_show_it(showing: Ended) -> None:
    """Nothing that steers a terminal, and no line longer than 80 columns."""
    assert "\x1b" not in showing.stdout
    assert "\r" not in showing.stdout
    assert max(map(len, showing.stdout.splitlines())) <= 80


def test_no_secret_and_no_address_is_shown(showing: Ended) -> None:
    """Neither the stand-ins' tokens nor where they listen, and nothing of the environment."""
    for secret in ("demo_", "/services/", "AAstandIn", "theRealToken", "Bearer"):
        assert secret not in showing.stdout, secret
    assert not re.search(r"127\.0\.0\.1:\d", showing.stdout)


def test_nothing_is_left_behind(showing: Ended, place_of_the_showing: Place) -> None:
    """No history, no folder, no file beside the one that was there."""
    assert showing.status == 0
    assert place_of_the_showing.left_behind() == ["config.yaml"]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(place: Place, sign: signal.Signals) -> None:
    """In the middle of a step, more than once: status 0, nothing left, no traceback; meanwhile it was healthy.

    What went wrong in the made-up days is over when it starts: nobody is told of its end.
    """
    with place.running("demo", "--port", "0") as running:
        running.wait_for("cache ")
        address = re.findall(r"curl (http://127\.0\.0\.1:\d+/healthz)", running.said)[0]
        with build_opener(ProxyHandler({})).open(address, timeout=10) as answer:
            assert json.loads(answer.read())["ok"] is True
        assert len(place.left_behind()) == 2
        ended = running.end(sign, sign)
    assert ended.status == 0
    assert ended.stdout.endswith("\n\nStopped before the end. Nothing is left behind.")
    assert "Traceback" not in ended.stdout
    assert "incident" not in ended.stdout.partition("Step 2 of 6")[0]
    assert place.left_behind() == ["config.yaml"]


@pytest.mark.parametrize("redirection", ["| head -n 1 >first", ">&-"])
def test_it_needs_nobody_to_read_it(place: Place, redirection: str) -> None:
    """A reader that leaves ends it; without any output it plays for nobody, and can be stopped."""
    command = f"{sys.executable} -m monitor demo {redirection}"
    if redirection == ">&-":
        command = f"exec {command}"
    with subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", command], cwd=place.folder, env=place.environ, stderr=subprocess.PIPE
    ) as process:
        if redirection == ">&-":
            until(lambda: any(place.temporary.glob("*/history.db")), "the history")
            process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=LONGEST_WAIT_SECONDS)[1]
    assert (process.returncode, said) == (0, b"")
    (place.folder / "first").unlink(missing_ok=True)
    assert place.left_behind() == ["config.yaml"]


def test_what_does_not_happen_is_told_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A message that never comes is waited for, for a while, and then missed by its name; all is put away."""
    # The steps and their grace are patched, since the real ones are made to be fulfilled; signals are pytest's.
    never = replace(STEPS[0], awaited=frozenset({(SLACK, "opened"), (TELEGRAM, "opened")}))
    monkeypatch.setattr(demo, "STEPS", (never,))
    monkeypatch.setattr(demo, "_GRACE_SECONDS", 0.5)
    monkeypatch.setattr(demo, "stop_on_signals", lambda stop: None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--seconds", "5"])
    assert ended.value.code == 1
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(
        # On a busy machine the checks may not come either.
        r"Both databases answer: [^.]*slack: opened and telegram: opened did not come within [12] s\.",
        said,
    )
    assert "What you saw" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_told(place: Place) -> None:
    """Status 3 and what to do, before the first step."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        second = place.end("demo", "--port", port)
    assert (second.status, second.stdout) == (3, "")
    wanted = f"wanted to listen on 127.0.0.1 port {port}, found it in use by another program."
    assert second.stderr == f"{wanted} Next: another --port, or 0 for any that is free\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seconds", "4"), "wanted a whole number from 5 to 300, found '4'. Next: --seconds 30"),
        (("--seconds", "301"), "wanted a whole number from 5 to 300, found '301'. Next: --seconds 30"),
        (("--seconds", "-7"), "found '-7'"),
        (("--seconds", "soon"), "wanted a whole number from 5 to 300, found 'soon'. Next: --seconds 30"),
        (("--seconds", "\u00b2"), "found '\u00b2'"),
        (("--port", "70000"), "wanted a whole number from 0 to 65535, found '70000'. Next: --port 8080"),
        (("--port", "http"), "wanted a whole number from 0 to 65535, found 'http'. Next: --port 8080"),
    ],
)
def test_a_mistake_is_told_with_what_to_type_instead(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 3, before anything is started."""
    with pytest.raises(SystemExit) as ended:
        main(["demo", *words])
    assert ended.value.code == 3
    assert said in capsys.readouterr().err
