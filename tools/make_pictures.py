"""Makes the pictures of the README anew from one run of the demo: `python -m tools.make_pictures`, two minutes.

Wants Chromium. Whoever runs it looks at what came out, in docs/.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

from rich.console import Console
from rich.text import Text

from tests.program import ROOT, until
from tests.web.browser import Browser, find_chromium, running

_DOCS = ROOT / "docs"
_PORT = 18_416
_COLUMNS = 100
_SECONDS = 60
_REFUSED = "WRONGPASS"


def main() -> int:
    """Run the demo, picture its page while the token is refused, then what it and `report` printed."""
    chromium = find_chromium()
    if chromium is None:
        print("wanted chromium, found none. Next: install it", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory() as folder, running(chromium) as browser:
        history = Path(folder) / "history.db"
        with _demo(history) as output:
            until(_token_is_refused, "an incident of the token")
            with browser.page(width=1100, height=900) as page:
                page.open(f"http://127.0.0.1:{_PORT}/")
                page.screenshot(_DOCS / "page.png")
        timeout, refused = _doctors(b"".join(output).decode().replace("\r\n", "\n"))
        _picture(browser, timeout, "make demo", _DOCS / "demo.png")
        _picture(browser, refused, "upstash-monitor doctor", _DOCS / "doctor.png")
        config = Path(folder) / "config.yaml"
        config.write_text(
            f"databases: [{{name: main, url: https://h.upstash.io, token: t}}]\nhistory: {{path: {history}}}\n"
        )
        report = subprocess.run(
            _command("--config", str(config), "report", "main", "--since", "14d"),
            stdout=subprocess.PIPE,
            env=_terminal(),
            check=True,
        ).stdout.decode()
        _picture(
            browser,
            f"$ upstash-monitor report main --since 14d\n{report}",
            "upstash-monitor",
            _DOCS / "report.png",
        )
    return 0


@contextmanager
def _demo(history: Path) -> Iterator[list[bytes]]:
    """The demo on a terminal of its own; all it printed once the block is left."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, _COLUMNS, 0, 0))
    arguments = ("demo", "--port", str(_PORT), "--seconds", str(_SECONDS), "--keep", str(history))
    demo = subprocess.Popen(_command(*arguments), stdout=its, env=_terminal())
    os.close(its)
    output: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # EIO is how a terminal ends
            while piece := os.read(ours, 1 << 16):
                output.append(piece)

    reading = threading.Thread(target=read)
    reading.start()
    try:
        yield output
        demo.wait()
    finally:
        demo.kill()
        demo.wait()
        reading.join()
        os.close(ours)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "monitor", *arguments]


def _terminal() -> dict[str, str]:
    """Colours and a width as on a terminal."""
    return os.environ | {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(_COLUMNS)}


def _token_is_refused() -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{_PORT}/") as answer:
            text = answer.read().decode()
    except OSError:
        return False
    return _REFUSED in text and "Token rejected" in text


def _doctors(output: str) -> tuple[str, str]:
    """What the doctor printed in the demo, from its head to the end of its verdict: twice."""
    first, second = re.findall(r"^[^\n]*→[^\n]*`doctor` says now.*?╰─*╯[^\n]*$", output, re.DOTALL | re.MULTILINE)
    return first, second


def _picture(browser: Browser, ansi: str, title: str, file: Path) -> None:
    """The terminal's text as a picture of a terminal."""
    console = Console(file=io.StringIO(), width=_COLUMNS, record=True, force_terminal=True)
    console.print(Text.from_ansi(ansi.rstrip()))
    drawn = console.export_svg(title=title, font_aspect_ratio=0.61)
    size = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', drawn)
    if size is None:
        raise ValueError("the picture has no size")
    width, height = (round(float(number)) for number in size.groups())
    with tempfile.NamedTemporaryFile(suffix=".svg") as svg, browser.page(width=width, height=height) as page:
        svg.write(drawn.encode())
        svg.flush()
        page.open(Path(svg.name).as_uri())
        page.screenshot(file)


if __name__ == "__main__":
    raise SystemExit(main())
