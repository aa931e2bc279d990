-- How often permits with `@limit` were used: by statement (`policy` is the document, the number of the statement and the time), by whose uses
-- count, and by the window. `told` says that the breach has been acted on.
CREATE TABLE limit_counts (
  tenant  TEXT NOT NULL,
  policy  TEXT NOT NULL,
  subject TEXT NOT NULL,
  window  INTEGER NOT NULL,
  taken   INTEGER NOT NULL,
  told    INTEGER NOT NULL DEFAULT 0,
  until   INTEGER NOT NULL,
  PRIMARY KEY (tenant, policy, subject, window)
) STRICT, WITHOUT ROWID;
CREATE INDEX limit_counts_by_until ON limit_counts (until);

-- Tests of a policy: a JSON array of questions with what is expected. They lie in no shard, for no decision reads them.
ALTER TABLE policies ADD COLUMN tests TEXT;
CREATE INDEX policies_tested ON policies (tenant, id) WHERE tests IS NOT NULL;
