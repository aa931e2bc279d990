-- How many tokens a tenant with a quota was given in the newest minute: `granted` are those of the last claim, `told` is the minute in which
-- an event has said that none are left.
CREATE TABLE token_counts (
  tenant  TEXT PRIMARY KEY,
  minute  INTEGER NOT NULL,
  taken   INTEGER NOT NULL,
  granted INTEGER NOT NULL,
  told    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
