"""The numbered migrations: the tables of this version, and what each later one makes of them.

A migration is never changed once it is released. How and when they run is decided in `schema`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from monitor.store.rollups.rollup import HOUR_MS

# A text of statements, or a function where rows have to be read to know what to write.
MigrationStep = str | Callable[[sqlite3.Connection], None]

_TABLES = """
CREATE TABLE outcome (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, ok INTEGER);
CREATE TABLE database (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE rollup (
  id INTEGER PRIMARY KEY,
  database_id INTEGER NOT NULL REFERENCES database (id),
  grain INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  outcomes TEXT NOT NULL,
  up_ms INTEGER NOT NULL,
  down_ms INTEGER NOT NULL,
  latency BLOB NOT NULL,
  phases BLOB,
  UNIQUE (database_id, grain, slot)
);
CREATE TABLE watermark (database_id INTEGER PRIMARY KEY REFERENCES database (id), until_ms INTEGER NOT NULL);
CREATE TABLE retention (checks_ms INTEGER NOT NULL, failing_ms INTEGER NOT NULL);
CREATE TABLE check_result (id INTEGER PRIMARY KEY, latency_us INTEGER, beside_us INTEGER, phases BLOB);
CREATE TABLE check_detail (
  id INTEGER PRIMARY KEY REFERENCES check_result (id),
  outcome_id INTEGER NOT NULL REFERENCES outcome (id),
  http_status INTEGER,
  detail TEXT
);
CREATE TABLE gap (
  database_id INTEGER NOT NULL REFERENCES database (id),
  from_ms INTEGER NOT NULL,
  to_ms INTEGER NOT NULL,
  PRIMARY KEY (database_id, from_ms)
) WITHOUT ROWID;
CREATE TABLE incident_state (
  database_id INTEGER PRIMARY KEY REFERENCES database (id), checked_ms INTEGER NOT NULL, state TEXT NOT NULL
);
CREATE TABLE incident (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  database_id INTEGER NOT NULL REFERENCES database (id),
  opened_ms INTEGER NOT NULL,
  notified_ms INTEGER NOT NULL,
  closed_ms INTEGER,
  acknowledged_ms INTEGER,
  cause TEXT NOT NULL,
  causes TEXT NOT NULL,
  severity TEXT NOT NULL,
  checks_failed INTEGER NOT NULL
);
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  channel TEXT NOT NULL,
  incident_id INTEGER,
  kind TEXT NOT NULL,
  notification TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  tried_ms INTEGER,
  due_ms INTEGER,
  delivered_ms INTEGER,
  given_up_ms INTEGER,
  last_error TEXT
);
CREATE INDEX outbox_waiting ON outbox (channel, id) WHERE delivered_ms IS NULL AND given_up_ms IS NULL;
CREATE TABLE delivery_count (
  channel TEXT NOT NULL,
  result TEXT NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (channel, result)
) WITHOUT ROWID;
CREATE TABLE channel (
  name TEXT PRIMARY KEY,
  broken_ms INTEGER,
  reason TEXT,
  chat_id_before TEXT,
  chat_id TEXT,
  blocked_ms INTEGER,
  blocked_until_ms INTEGER
) WITHOUT ROWID;
CREATE TABLE connectivity_host (address TEXT PRIMARY KEY, answered_ms INTEGER NOT NULL) WITHOUT ROWID;
"""

_TIME = "strftime('%Y-%m-%dT%H:%M:%S', {0} / 1000, 'unixepoch') || printf('.%03dZ', {0} % 1000)"


def _moment(column: str) -> str:
    return _TIME.format(column)


# A check's number is that of its hour's row and, in the lowest 22 bits, the millisecond within the hour.
_CHECK_AT = f"(rollup.slot * {HOUR_MS} + (check_result.id & 4194303))"

_VIEWS = f"""
CREATE VIEW history (database, at, outcome, ok, latency_ms, total_ms, http_status, detail) AS
  SELECT database.name, {_moment(_CHECK_AT)}, outcome.code, outcome.ok,
    check_result.latency_us / 1000.0, (ifnull(check_result.latency_us, 0) + check_result.beside_us) / 1000.0,
    CASE WHEN check_detail.id IS NULL THEN 200 ELSE check_detail.http_status END, check_detail.detail
  FROM check_result
  JOIN rollup ON rollup.id = check_result.id >> 22
  JOIN database ON database.id = rollup.database_id
  LEFT JOIN check_detail ON check_detail.id = check_result.id
  JOIN outcome ON outcome.id = ifnull(check_detail.outcome_id, (SELECT id FROM outcome WHERE code = 'ok'));
CREATE VIEW incident_log
  (id, database, opened_at, closed_at, cause, severity, checks_failed, acknowledged_at) AS
  SELECT incident.id, database.name, {_moment("opened_ms")}, {_moment("closed_ms")}, cause, severity,
    checks_failed, {_moment("acknowledged_ms")}
  FROM incident JOIN database ON database.id = incident.database_id;
CREATE VIEW deliveries (incident, kind, channel, created_at, delivered_at, attempts, last_error) AS
  SELECT incident_id, kind, channel, {_moment("created_ms")}, {_moment("delivered_ms")}, attempts, last_error
  FROM outbox;
"""

MIGRATIONS: tuple[tuple[MigrationStep, ...], ...] = ((_TABLES, _VIEWS),)
