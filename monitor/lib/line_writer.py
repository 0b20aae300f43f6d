"""Lines for a stream whose reader may stand still: written in order, on a thread, and nobody waits for them."""

from __future__ import annotations

import atexit
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TextIO
from weakref import WeakKeyDictionary

# What may wait, in characters: some ten thousand lines.
_MOST_WAITING = 1_000_000
# What a reader that stands still may hold up the end of the process.
_LAST_SECONDS = 1.0

# How the line reads that tells of so many lost ones.
LossLine = Callable[[int], str]


def loss_line(lost: int) -> str:
    """The plain words for it."""
    lines = "a line of the log was" if lost == 1 else f"{lost} lines of the log were"
    return f"{lines} lost: nobody read it, or it could not be written"


class LineWriter:
    """Writes lines to a descriptor. A full queue, or a stream that fails, costs lines, which are counted.

    Once a line found no room, those behind it are left out as well until the queue has been written: the count
    then stands where they are missing.
    """

    def __init__(self, descriptor: int, encoding: str) -> None:
        self.loss_line: LossLine = loss_line
        self._descriptor = descriptor
        self._encoding = encoding
        self._waiting: deque[str] = deque()
        self._characters = 0
        self._is_full = self._is_writing = False
        self._lost = 0
        # Reentrant: a signal handler may end the program from inside `put`, and what it says is put as well.
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None

    def put(self, line: str) -> None:
        """Have it written; never waits for the reader."""
        with self._changed:
            self._is_full |= bool(self._waiting) and self._characters + len(line) > _MOST_WAITING
            if self._is_full:
                self._lost += 1
                return
            self._waiting.append(line)
            self._characters += len(line)
            if self._thread is None:
                # A daemon, since a write that blocks for ever must not keep the process from ending.
                self._thread = threading.Thread(target=self._work, name="log", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, seconds: float) -> None:
        """Wait until everything is written, or so long."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._has_work() or self._is_writing), seconds)

    def _has_work(self) -> bool:
        return bool(self._waiting) or self._is_full

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                lines = []
                if self._waiting:
                    lines.append(self._waiting.popleft())
                    self._characters -= len(lines[0])
                lost = 0
                if self._lost and not (self._is_full and lines):
                    lost, self._lost, self._is_full = self._lost, 0, False
                    lines.insert(0, self.loss_line(lost))
                self._is_writing = True
            is_written = self._write("".join(f"{line}\n" for line in lines))
            with self._changed:
                self._is_writing = False
                if not is_written:
                    self._lost += lost + len(lines) - bool(lost)
                self._changed.notify_all()

    def _write(self, text: str) -> bool:
        """Not through the stream: at its end the interpreter waits for the lock of a stream that is written to."""
        rest = memoryview(text.encode(self._encoding, "backslashreplace"))
        try:
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:  # the descriptor was handed down in that mode
                    waiting = select.poll()
                    waiting.register(self._descriptor, select.POLLOUT)
                    waiting.poll()
        except OSError:
            return False
        return True


_writers: WeakKeyDictionary[TextIO, LineWriter] = WeakKeyDictionary()


def writer_to(stream: TextIO) -> LineWriter | None:
    """The one writer to this stream; `None` for a stream in memory, which nobody holds up, or a closed one."""
    with suppress(OSError, ValueError):
        if stream not in _writers:
            _writers[stream] = LineWriter(stream.fileno(), stream.encoding or "utf-8")
        return _writers[stream]
    return None


def write_line(stream: TextIO | None, line: str) -> None:
    """Write a line; a stream that is closed, or cannot be written to, loses it."""
    if stream is None:
        return
    writer = writer_to(stream)
    if writer is not None:
        writer.put(line)
        return
    with suppress(OSError, ValueError):
        stream.write(line + "\n")
        stream.flush()


@atexit.register
def flush() -> None:
    """Wait a moment for the lines that are on their way."""
    end = monotonic() + _LAST_SECONDS
    for writer in list(_writers.values()):
        writer.flush(max(0.0, end - monotonic()))
