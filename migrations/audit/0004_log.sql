-- The log of each tenant (C2SP tlog-tiles). An event gets the next index in the transaction that keeps it. A checkpoint covers the first `signed`
-- of them; `edge` has the partial tiles of that size.
CREATE TABLE logs (
  tenant     TEXT PRIMARY KEY,
  size       INTEGER NOT NULL DEFAULT 0,
  signed     INTEGER NOT NULL DEFAULT 0,
  edge       TEXT NOT NULL DEFAULT '[]',
  checkpoint TEXT NOT NULL DEFAULT '',
  signed_at  INTEGER NOT NULL DEFAULT 0,
  tried_at   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX logs_behind ON logs (tried_at, tenant) WHERE signed < size;

-- Full tiles, each written once: 256 entries at level 0, 256 hashes at the others, in base64url.
CREATE TABLE tiles (
  tenant  TEXT NOT NULL,
  level   INTEGER NOT NULL,
  n       INTEGER NOT NULL,
  content TEXT NOT NULL,
  PRIMARY KEY (tenant, level, n)
) STRICT;

-- The index of an event in the log, what salts its members, and its entry.
ALTER TABLE events ADD COLUMN seq INTEGER;
ALTER TABLE events ADD COLUMN salt TEXT;
ALTER TABLE events ADD COLUMN entry TEXT;
CREATE UNIQUE INDEX events_by_seq ON events (tenant, seq) WHERE seq IS NOT NULL;
-- Events of before this version.
CREATE INDEX events_without_seq ON events (tenant, id) WHERE seq IS NULL;
CREATE INDEX events_by_jti ON events (tenant, body ->> '$.jti_hash') WHERE type = 'token.issued';
