-- The key that signs the checkpoints of a tenant's log, and what the cron has seen of the log: the newest checkpoint, up to which index it has
-- checked, up to which day events were forgotten, and on which day it found something wrong.
CREATE TABLE log_keys (
  tenant     TEXT PRIMARY KEY,
  jwk        TEXT NOT NULL,
  sealed     TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  seen_size  INTEGER NOT NULL DEFAULT 0,
  seen_root  TEXT NOT NULL DEFAULT '',
  checked    INTEGER NOT NULL DEFAULT 0,
  forgotten  INTEGER NOT NULL DEFAULT 0,
  alarmed    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
