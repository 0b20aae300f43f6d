"""The program's own log: where lines go, how they look, that no secret is in them, and that few repeat."""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from loguru import logger

from monitor.config.settings import LogsSettings
from monitor.lib.line_writer import loss_line, write_line, writer_to
from monitor.lib.text import Scrub

if TYPE_CHECKING:
    from loguru import Message, Record

_WINDOW_SECONDS = 60.0
_MOST_PER_WINDOW = 6
_MOST_LINES = 256
# What differs each time in a line that is otherwise the same: how long it took, how often so far.
_MEASURED = re.compile(r"\b\d[\d.,]* (?=(?:ms|s|min|h|d|so far)\b)")
# They log every job, request and connection at INFO.
_CHATTY = ("apscheduler", "asyncio", "httpcore", "httpx", "urllib3", "uvicorn")
_COLOURS = {"DEBUG": "\x1b[2m", "INFO": "", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[1;31m"}
# Tabs and newlines belong to tracebacks; everything else that steers a terminal is written as an escape.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\t\n"}


class RepeatedLines:
    """A filter for loguru. `clock` gives monotonic seconds.

    Of the same line (level, message, kind of exception) six are let through within a minute. The last of them says
    that more are left out, and the first one after that minute how many were. Lines that differ in a duration or
    a count so far are the same line; in any other figure (an incident's, one in a name) they are not. At most 256
    lines are remembered. The message of a record that is let through may be changed.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        # By line: when its minute began, how many came since. In the order in which the minutes began.
        self._seen: dict[tuple[str, str, str], tuple[float, int]] = {}

    def __call__(self, record: Record) -> bool:
        error, now = record["exception"], self._clock()
        kind = error.type.__name__ if error is not None and error.type is not None else ""
        line = (record["level"].name, _MEASURED.sub("", record["message"]), kind)
        began, count = self._seen.get(line, (now, 0))
        if now - began < _WINDOW_SECONDS:
            left_out = 0
        else:
            del self._seen[line]
            left_out, began, count = max(0, count - _MOST_PER_WINDOW), now, 0
        self._seen[line] = (began, count + 1)
        if len(self._seen) > _MOST_LINES:
            del self._seen[next(iter(self._seen))]
        if left_out:
            record["message"] += f" ({left_out} more of these were left out)"
        elif count + 1 == _MOST_PER_WINDOW:
            record["message"] += " (more of these within a minute are left out)"
        return count < _MOST_PER_WINDOW


def set_up(settings: LogsSettings, *, scrub: Scrub, stream: TextIO | None) -> None:
    """Send every log of this process to `stream`, scrubbed in the last step before it is handed to the writer.

    Text for people, or for Railway one JSON object a line with `message` and a lower-case `level`. A stream that
    cannot be written to (closed, full disk) or whose reader stands still loses lines and stops nothing.
    """
    is_terminal = stream is not None and stream.isatty()
    colour = is_terminal and settings.format == "text" and not os.environ.get("NO_COLOR")
    shape = _as_json if settings.format == "json" else _as_text

    def write(message: Message) -> None:
        record = message.record
        line = shape(record["time"], record["level"].name, scrub(_with_traceback(record)), _extra(record, scrub))
        if colour and (start := _COLOURS.get(record["level"].name)):
            line = f"{start}{line}\x1b[0m"
        write_line(stream, line)

    logger.remove()
    # `diagnose` would print the values of variables into tracebacks, tokens among them.
    logger.add(
        write,
        level=settings.level,
        filter=RepeatedLines(),
        format="{message}",
        backtrace=False,
        diagnose=False,
        catch=False,
    )
    logging.basicConfig(handlers=[_Bridge()], level=logging.WARNING, force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_crash
    threading.excepthook = lambda crash: _log_crash(crash.exc_type, crash.exc_value, crash.exc_traceback)
    sys.unraisablehook = lambda crash: _log_crash(crash.exc_type, crash.exc_value, crash.exc_traceback)
    if stream is not None and (writer := writer_to(stream)) is not None:
        writer.loss_line = lambda lost: shape(datetime.now().astimezone(), "WARNING", loss_line(lost), {})


class _Bridge(logging.Handler):
    """Passes records of the standard library's logging on to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        depth, frame = 1, inspect.currentframe()
        while frame is not None and (depth == 1 or frame.f_code.co_filename == logging.__file__):
            frame, depth = frame.f_back, depth + 1
        known = logging.getLevelName(record.levelno) in _COLOURS
        level = record.levelname if known else record.levelno
        # What is raised here ends asyncio's event loop, which logs what it cannot hand to anybody.
        with suppress(MemoryError):
            logger.opt(depth=depth, exception=record.exc_info).log(level, "{}", record.getMessage())


def _as_text(time: datetime, level: str, text: str, _extra: Mapping[str, str]) -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    return f"{stamp}{time.strftime('%z')} {level:<7} {text}".translate(_CONTROL)


def _as_json(time: datetime, level: str, text: str, extra: Mapping[str, str]) -> str:
    fields = {"level": level.lower(), "message": text, "time": time.isoformat(timespec="milliseconds")}
    return json.dumps({**extra, **fields}, ensure_ascii=False)


def _extra(record: Record, scrub: Scrub) -> dict[str, str]:
    return {key: scrub(str(value)) for key, value in record["extra"].items()}


def _with_traceback(record: Record) -> str:
    """The message, with the traceback below where there is one."""
    error = record["exception"]
    if error is None or error.value is None:
        return record["message"]
    import traceback

    lines = traceback.format_exception(error.type, error.value, error.traceback)
    return f"{record['message']}\n{''.join(lines).rstrip()}"


def _log_crash(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is None or issubclass(kind, KeyboardInterrupt):
        return
    logger.opt(exception=(kind, error, trace)).critical("the program failed inside")
