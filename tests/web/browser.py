"""A real browser, spoken to over a pipe: DevTools commands as JSON, each ended by a zero byte; no library.

One browser serves many pages. Everything waits for conditions and gives up after a generous time.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from tests.program import LONGEST_WAIT_SECONDS, until

_SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--remote-debugging-pipe",
    # Whatever a page may ask for, nothing but this machine is reached.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


# A browser reads orders from 3 and answers on 4, so that is where the pipes must be when it starts.
_LAUNCHER = """
import fcntl, os, sys
orders, answers = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(orders, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class BrowserError(AssertionError):
    """The browser refused a command, ended, or said nothing in time."""


def find_chromium() -> str | None:
    """The program, by the names it goes by."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """A running browser. Made by `running`."""

    def __init__(self, process: subprocess.Popen[bytes], orders: int, answers: int) -> None:
        self._process = process
        self._orders = orders
        self._answers = answers
        self._number = 0
        self._waiting: dict[int, Queue[dict[str, Any]]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def command(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """What the browser answers; raises `BrowserError`."""
        self._number += 1
        number = self._number
        answer = self._waiting[number] = Queue()
        order = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        try:
            found = answer.get(timeout=LONGEST_WAIT_SECONDS)
        except Empty:
            raise BrowserError(f"no answer to {method} (the browser's status is {self._process.poll()})") from None
        if "error" in found:
            raise BrowserError(f"{method}: {found['error']}")
        result: dict[str, Any] = found["result"]
        return result

    @contextmanager
    def page(self, *, width: int = 1024, height: int = 800, script: bool = True) -> Iterator[Page]:
        """A page of its own, with cookies and passwords of its own, until the end of the block."""
        context = self.command("Target.createBrowserContext")["browserContextId"]
        target = self.command("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.events[session] = []
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.command(f"{domain}.enable")
        page.resize(width, height)
        page.prefer("light")
        page.command("Emulation.setScriptExecutionDisabled", value=not script)
        try:
            yield page
        finally:
            self.command("Target.disposeBrowserContext", browserContextId=context)

    def _read(self) -> None:
        pieces: list[bytes] = []  # a picture comes in many
        with suppress(OSError):
            while data := os.read(self._answers, 1 << 16):
                *ends, rest = data.split(b"\0")
                if not ends:
                    pieces.append(rest)
                    continue
                ends[0] = b"".join([*pieces, ends[0]])
                pieces = [rest]
                for message in map(json.loads, ends):
                    if "id" in message:
                        self._waiting.pop(message["id"]).put(message)
                    elif message.get("sessionId") in self.events:
                        self.events[message["sessionId"]].append(message)


class Page:
    """One page. `complaints` are what a browser's console shows in red: errors, and what the policy forbade."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.command(method, self._session, **params)

    def seen(self, method: str) -> list[dict[str, Any]]:
        """The events of this kind since the page was made."""
        return [
            event["params"] for event in list(self._browser.events[self._session]) if event["method"] == method
        ]

    def open(self, url: str) -> None:
        """Go there and wait until it has loaded."""
        before = len(self.seen("Page.loadEventFired"))
        found = self.command("Page.navigate", url=url)
        if "errorText" in found:
            raise BrowserError(f"{url}: {found['errorText']}")
        until(lambda: len(self.seen("Page.loadEventFired")) > before, f"{url} to load")

    def resize(self, width: int, height: int) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        # The answer may come before the page has that size.
        until(lambda: self.run("[innerWidth, innerHeight]") == [width, height], "the page to have its size")

    def prefer(self, scheme: str) -> None:
        """Show it to somebody who prefers `light` or `dark`, and no colours on their way from one to the other."""
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        self.command(
            "Emulation.setEmulatedMedia",
            features=[{"name": name, "value": value} for name, value in features.items()],
        )

    def run(self, expression: str) -> Any:
        """The value of an expression of JavaScript, a promise's once it is kept."""
        found = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise BrowserError(json.dumps(found["exceptionDetails"], indent=1)[:2000])
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key, and let go of it."""
        codes = {"Tab": 9, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "Enter": 13}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind, more in (("keyDown" if text else "rawKeyDown", text), ("keyUp", {})):
            self.command(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **more
            )

    def point_at(self, x: float, y: float) -> None:
        self.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    @property
    def complaints(self) -> list[str]:
        logged = [event["entry"] for event in self.seen("Log.entryAdded")]
        thrown = [str(event["exceptionDetails"]) for event in self.seen("Runtime.exceptionThrown")]
        return [entry["text"] for entry in logged if entry["level"] == "error"] + thrown

    def screenshot(self, file: Path) -> None:
        """The whole page, however long, as a PNG."""
        size = self.command("Page.getLayoutMetrics")["cssContentSize"]
        found = self.command(
            "Page.captureScreenshot", captureBeyondViewport=True, optimizeForSpeed=True, clip={**size, "scale": 1}
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def running(program: str) -> Iterator[Browser]:
    """A browser until the end of the block."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                *(sys.executable, "-S", "-c", _LAUNCHER, str(theirs_in), str(theirs_out)),
                *(program, *_SWITCHES, f"--user-data-dir={profile}"),
            ],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Browser(process, ours_out, ours_in)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(ours_out)
            os.close(ours_in)
