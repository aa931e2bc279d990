-- Where a tenant has its trail sent. What it is sent with lies sealed. `run` counts how often an administrator has said from where on, and `start` is
-- the sequence number before the first event of that run; nothing means those that come after the sink was made.
CREATE TABLE sinks (
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  body       TEXT NOT NULL,
  sealed     TEXT NOT NULL,
  run        INTEGER NOT NULL DEFAULT 1,
  start      INTEGER,
  version    INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
