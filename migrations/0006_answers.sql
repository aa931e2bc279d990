-- Answers to requests that made something, kept for their retries (`Idempotency-Key`) and sealed. `key` and `request` are digests.
CREATE TABLE answers (
  tenant  TEXT NOT NULL,
  client  TEXT NOT NULL,
  key     TEXT NOT NULL,
  request TEXT NOT NULL,
  sealed  TEXT NOT NULL,
  until   INTEGER NOT NULL,
  PRIMARY KEY (tenant, client, key)
) STRICT;
CREATE INDEX answers_by_end ON answers (until);
