"""What decisions and deliveries need of the history file, as one text for a store that keeps only texts.

Checks and sums are left out, so it stays at a few kilobytes. The text is base64 of zlib of JSON:
`{"format": 1, "schema": N, "tables": {NAME: {"columns": [...], "rows": [[...]]}}}`, bytes as `{"hex": "…"}`.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import zlib
from contextlib import closing, suppress
from datetime import datetime, timedelta
from typing import Any

from monitor.lib.times import from_ms, to_ms
from monitor.store.file.open import open_memory
from monitor.store.file.salvage import NUMBERED_TABLES, STATE_TABLES, replay, tidy
from monitor.store.file.schema import MIGRATIONS
from monitor.store.tables.incidents import FIRST_IN_MEMORY
from monitor.store.tables.outbox import WAITING

_FORMAT = 1
_LARGEST_BYTES = 8 * 1024 * 1024  # unpacked; a short text may be made to unpack to gigabytes
# For how long what is over is remembered, and how much of it: a database that opens again soon is told as one.
_KEEP_CLOSED = timedelta(days=1)
_MOST_CLOSED = 50
# The clock of another machine, which may have written the text, may be so much ahead.
_OTHER_CLOCK = timedelta(minutes=1)
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1  # SQLite's integers
_LARGEST_ID = 2**53
_KINDS: dict[str, tuple[type, ...]] = {"INTEGER": (int,), "TEXT": (str,), "BLOB": (bytes,)}

# Where memory gave the last number, the file's own go on from the highest of its rows.
_INCIDENTS = f"""(SELECT id FROM incident WHERE closed_ms IS NULL
  OR id IN (SELECT incident_id FROM outbox WHERE {WAITING})
  UNION SELECT max(id) FROM incident WHERE id < {FIRST_IN_MEMORY}
    AND {FIRST_IN_MEMORY} <= (SELECT seq FROM sqlite_sequence WHERE name = 'incident')
  UNION SELECT id FROM
    (SELECT id FROM incident WHERE closed_ms > :since ORDER BY id DESC LIMIT {_MOST_CLOSED}))"""
# Of what was told or given up one message of each kind is enough; the first has what the others reply to. The last
# that was told says whether the end was heard, also of what opened again.
_MESSAGES = f"""{WAITING} OR (
  CASE WHEN incident_id IS NULL THEN created_ms > :since ELSE incident_id IN {_INCIDENTS} END
  AND (id IN (SELECT min(id) FROM outbox WHERE NOT ({WAITING}) GROUP BY channel, incident_id, kind,
    given_up_ms IS NULL, CASE WHEN incident_id IS NULL THEN id END)
    OR id IN (SELECT max(id) FROM outbox WHERE delivered_ms IS NOT NULL GROUP BY channel, incident_id)))"""
# These are part of the history.
_WHERE = {name: "TRUE" for name in STATE_TABLES if name not in ("gap", "maintenance")} | {
    "incident": f"id IN {_INCIDENTS}",
    "outbox": _MESSAGES,
    "connectivity_host": "answered_ms > :since",
    "silence": "until_ms > :since",
    "sqlite_sequence": f"name IN {NUMBERED_TABLES}",
}


class UnusableDocumentError(Exception):
    """The text holds no state that can be read. The text of the error says what was found."""


class NewerDocumentError(UnusableDocumentError):
    """A newer version of this program wrote it, and will read it again: it must not be overwritten."""


class StateDocument:
    """The state of all databases, their incidents and the outbox at one moment."""

    def __init__(self, tables: dict[str, Any]) -> None:
        self._tables = tables

    @classmethod
    def taken(cls, connection: sqlite3.Connection, now: datetime) -> StateDocument:
        """What the file holds now."""
        since = {"since": to_ms(now - _KEEP_CLOSED)}
        tables = {}
        for name, where in _WHERE.items():
            found = connection.execute(f"SELECT * FROM {name} WHERE {where}", since)
            tables[name] = {"columns": [one[0] for one in found.description], "rows": found.fetchall()}
        return cls(tables)

    @classmethod
    def parsed(cls, text: str) -> StateDocument:
        """The document in a text; raises `UnusableDocumentError`."""
        try:
            unpacker = zlib.decompressobj()
            raw = unpacker.decompress(base64.b64decode(text, validate=True), _LARGEST_BYTES)
            if not unpacker.eof:
                raise UnusableDocumentError("a document that is cut short, or too large")
            values = json.loads(raw)
            number, schema = values["format"], values["schema"]
            if number > _FORMAT or schema > len(MIGRATIONS):
                raise NewerDocumentError("a document of a newer version")
            tables = {
                name: {
                    "columns": list(dict.fromkeys(map(str, table["columns"]))),
                    "rows": [tuple(map(_value, row)) for row in table["rows"]],
                }
                for name, table in values["tables"].items()
                if name in _WHERE
            }
        except (ValueError, TypeError, LookupError, AttributeError, zlib.error, RecursionError) as error:
            raise UnusableDocumentError("something that is no document of this program") from error
        return cls(tables)

    @property
    def checked_at(self) -> datetime | None:
        """When the latest check was that it knows of."""
        table = self._tables.get("incident_state", {"columns": [], "rows": []})
        rows = (dict(zip(table["columns"], row, strict=False)) for row in table["rows"])
        times = [row["checked_ms"] for row in rows if isinstance(row.get("checked_ms"), int)]
        with suppress(ValueError, OverflowError):  # no time, as the rest of what cannot be read
            return from_ms(max(times))
        return None

    def text(self) -> str:
        """The document as text."""
        values = {"format": _FORMAT, "schema": len(MIGRATIONS), "tables": self._tables}
        raw = json.dumps(values, separators=(",", ":"), default=lambda value: {"hex": value.hex()})
        return base64.b64encode(zlib.compress(raw.encode(), 9)).decode("ascii")

    def bring_to(self, file: sqlite3.Connection, now: datetime) -> None:
        """Add what the document has to a file, inside a transaction; of a state that both have the later counts.

        A row that cannot be read is left out.
        """
        with closing(open_memory()) as memory:
            memory.execute("DELETE FROM sqlite_sequence")
            for name, table in self._tables.items():
                _insert(memory, name, table["columns"], table["rows"])
            # After a number that is the largest SQLite has, nothing could be added any more.
            for name in NUMBERED_TABLES:
                memory.execute(f"DELETE FROM {name} WHERE id NOT BETWEEN 1 AND {_LARGEST_ID}")
            memory.execute(f"DELETE FROM sqlite_sequence WHERE seq NOT BETWEEN 0 AND {_LARGEST_ID}")
            tidy(memory)
            replay(memory, file, to_ms(now + _OTHER_CLOCK))


def _insert(memory: sqlite3.Connection, table: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    """The columns that this version knows; an older version's rows lack the newer ones.

    SQLite itself would take any value in any column.
    """
    kinds = {
        column: _KINDS.get(kind, (str, int))
        for _, column, kind, *_ in memory.execute(f"PRAGMA table_info({table})")
    }
    names = [column for column in columns if column in kinds]
    sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    for row in rows:
        values = {column: value for column, value in zip(columns, row, strict=False) if column in kinds}
        if all(value is None or isinstance(value, kinds[column]) for column, value in values.items()):
            with suppress(sqlite3.Error):
                memory.execute(sql, tuple(values.values()))


def _value(value: Any) -> Any:
    """A value of a row; raises `ValueError` for one that SQLite does not hold."""
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        raise ValueError("too large")
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError("no value of a row")
