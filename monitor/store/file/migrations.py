"""The numbered migrations: the tables of the first release, and what each later one made of them.

A migration is never changed once it is released. How and when they run is decided in `schema`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from monitor.store.file.upgrade import sum_up_looks
from monitor.store.file.upgrade_sums import add_blocks
from monitor.store.rollups.rollup import HOUR_MS

# A text of statements, or a function where rows have to be read to know what to write.
Step = str | Callable[[sqlite3.Connection], None]

_FIRST = """
CREATE TABLE outcome (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, ok INTEGER);
CREATE TABLE database (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE look (
  database_id INTEGER NOT NULL REFERENCES database (id),
  at_ms INTEGER NOT NULL,
  outcome_id INTEGER NOT NULL REFERENCES outcome (id),
  http_status INTEGER,
  dns_us INTEGER, connect_us INTEGER, tls_us INTEGER, wait_us INTEGER, read_us INTEGER, total_us INTEGER,
  detail TEXT,
  PRIMARY KEY (database_id, at_ms)
) WITHOUT ROWID;
CREATE TABLE watch (
  database_id INTEGER PRIMARY KEY REFERENCES database (id), seen_ms INTEGER NOT NULL, state TEXT NOT NULL
);
CREATE TABLE gap (
  database_id INTEGER NOT NULL REFERENCES database (id),
  from_ms INTEGER NOT NULL,
  to_ms INTEGER NOT NULL,
  PRIMARY KEY (database_id, from_ms)
) WITHOUT ROWID;
CREATE TABLE incident (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  database_id INTEGER NOT NULL REFERENCES database (id),
  opened_ms INTEGER NOT NULL,
  told_ms INTEGER NOT NULL,
  closed_ms INTEGER,
  acknowledged_ms INTEGER,
  cause TEXT NOT NULL,
  causes TEXT NOT NULL,
  severity TEXT NOT NULL,
  looks_failed INTEGER NOT NULL
);
CREATE TABLE parcel (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  channel TEXT NOT NULL,
  incident_id INTEGER,
  kind TEXT NOT NULL,
  notice TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  tried_ms INTEGER,
  due_ms INTEGER,
  delivered_ms INTEGER,
  given_up_ms INTEGER,
  last_error TEXT
);
CREATE INDEX parcel_waiting ON parcel (channel, id) WHERE delivered_ms IS NULL AND given_up_ms IS NULL;
CREATE TABLE channel (
  name TEXT PRIMARY KEY,
  broken_ms INTEGER,
  reason TEXT,
  chat_id_before TEXT,
  chat_id TEXT,
  blocked_ms INTEGER,
  blocked_until_ms INTEGER
) WITHOUT ROWID;
CREATE TABLE control (address TEXT PRIMARY KEY, answered_ms INTEGER NOT NULL) WITHOUT ROWID;
"""

_TIME = "strftime('%Y-%m-%dT%H:%M:%S', {0} / 1000, 'unixepoch') || printf('.%03dZ', {0} % 1000)"


def _moment(column: str) -> str:
    return _TIME.format(column)


_FIRST_VIEWS = f"""
CREATE VIEW history (database, at, outcome, ok, latency_ms, total_ms, http_status, detail) AS
  SELECT database.name, {_moment("look.at_ms")}, outcome.code, outcome.ok,
    (look.wait_us + look.read_us) / 1000.0, look.total_us / 1000.0, look.http_status, look.detail
  FROM look
  JOIN database ON database.id = look.database_id
  JOIN outcome ON outcome.id = look.outcome_id;
CREATE VIEW incident_log (id, database, opened_at, closed_at, cause, severity, looks_failed, acknowledged_at) AS
  SELECT incident.id, database.name, {_moment("opened_ms")}, {_moment("closed_ms")}, cause, severity,
    looks_failed, {_moment("acknowledged_ms")}
  FROM incident JOIN database ON database.id = incident.database_id;
CREATE VIEW deliveries (incident, kind, channel, created_at, delivered_at, attempts, last_error) AS
  SELECT incident_id, kind, channel, {_moment("created_ms")}, {_moment("delivered_ms")}, attempts, last_error
  FROM parcel;
"""

# Looks in less space, each under its hour (`look_rows`), and sums that stay when looks are deleted (`ledger`).
# `sum_up_looks` writes them with the code of today: whoever changes these tables again gives it a copy of its own.
# The old table steps aside while it is read; whatever others built on it must not keep it from going.
_ROLLUPS_BEFORE = """
DROP VIEW history;
PRAGMA legacy_alter_table = ON;
ALTER TABLE look RENAME TO look_before;
PRAGMA legacy_alter_table = OFF;
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
CREATE TABLE summed (database_id INTEGER PRIMARY KEY REFERENCES database (id), until_ms INTEGER NOT NULL);
CREATE TABLE look (id INTEGER PRIMARY KEY, latency_us INTEGER, beside_us INTEGER, phases BLOB);
CREATE TABLE remark (
  id INTEGER PRIMARY KEY REFERENCES look (id),
  outcome_id INTEGER NOT NULL REFERENCES outcome (id),
  http_status INTEGER,
  detail TEXT
);
CREATE TABLE horizon (looks_ms INTEGER NOT NULL, failing_ms INTEGER NOT NULL);
CREATE TABLE tally (
  channel TEXT NOT NULL,
  result TEXT NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (channel, result)
) WITHOUT ROWID;
INSERT INTO tally
  SELECT channel, 'sent', count(*) FROM parcel WHERE delivered_ms IS NOT NULL GROUP BY channel;
"""

_LOOK_AT = f"(rollup.slot * {HOUR_MS} + (look.id & 4194303))"

_ROLLUPS_AFTER = f"""
DROP TABLE look_before;
CREATE VIEW history (database, at, outcome, ok, latency_ms, total_ms, http_status, detail) AS
  SELECT database.name, {_moment(_LOOK_AT)}, outcome.code, outcome.ok,
    look.latency_us / 1000.0, (ifnull(look.latency_us, 0) + look.beside_us) / 1000.0,
    CASE WHEN remark.id IS NULL THEN 200 ELSE remark.http_status END, remark.detail
  FROM look
  JOIN rollup ON rollup.id = look.id >> 22
  JOIN database ON database.id = rollup.database_id
  LEFT JOIN remark ON remark.id = look.id
  JOIN outcome ON outcome.id = ifnull(remark.outcome_id, (SELECT id FROM outcome WHERE code = 'ok'));
"""

MIGRATIONS: tuple[tuple[Step, ...], ...] = (
    (_FIRST, _FIRST_VIEWS),
    (_ROLLUPS_BEFORE, sum_up_looks, _ROLLUPS_AFTER),
    # Tables and views stay as they are; there are more rows in `rollup`.
    (add_blocks,),
)
