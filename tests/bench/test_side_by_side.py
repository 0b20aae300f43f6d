"""The table and the plots of the bench, and the peers that run beside us."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.goals import Goal
from bench.peers import MONIT, PEERS, STACK, Target, about, commands, installed
from bench.plot import bars
from bench.table import Row, markdown

ROW = Row(
    what="memory",
    measured="63.4 MB\n0.7 of a|b",
    count="60 checks",
    goal=Goal(wanted="at most 60 MB", peers="90 MB", limit=60),
    reached=False,
    figures={"ours": 63.4, "a<b": 90.6},
    unit="MB",
)


def test_a_peer_that_is_missing_is_named_with_its_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is installed on this path: no peer is started, and what to install is told."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installed() == []
    for peer, line in zip(PEERS, about(), strict=True):
        assert line == f"not measured: {peer.name}. Next: apt-get install {' '.join(peer.programs.values())}"


def test_peers_check_as_often_as_we_do_and_by_three_failures(tmp_path: Path) -> None:
    """What their files say: 5 s, 2 s, three failures, the same request, and an inbox of their own."""
    target = Target(url="http://127.0.0.1:8080", token="a-token", webhook_url="http://127.0.0.1:9/inbox")
    assert [command[0] for command in commands(STACK, tmp_path, target)] == [
        "prometheus-blackbox-exporter",
        "prometheus-alertmanager",
        "prometheus",
    ]
    assert [command[0] for command in commands(MONIT, tmp_path, target)] == ["monit"]
    files = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert '"for": "10s"' in files["rules.yml"]
    assert '"evaluation_interval": "5s"' in files["prometheus.yml"]
    assert "with timeout 2 seconds for 3 cycles" in files["monitrc"]
    for name in ("blackbox.yml", "monitrc"):
        assert "Bearer a-token" in files[name]
        assert '["PING"]' in files[name].replace("\\", "")
    for name in ("alertmanager.yml", "opened", "closed"):
        assert target.webhook_url in files[name]


def test_a_page_has_a_line_for_each_row() -> None:
    """Lines within a cell stay apart, and no figure breaks the table."""
    assert "| memory | 63.4 MB<br>0.7 of a\\|b | 60 checks | at most 60 MB | 90 MB | NO |" in markdown(
        [ROW], ["today"]
    )


def test_a_plot_has_a_bar_for_each_figure() -> None:
    """With its name and its figure, as text that SVG can hold."""
    picture = bars(ROW)
    assert picture.count("<rect") == 3
    for words in ("ours", "63.4 MB", "a&lt;b", "90.6 MB"):
        assert words in picture
