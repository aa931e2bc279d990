-- What each witness of a tenant's log has cosigned last, and what became of the last attempt. `witness` is its verifier key. Lies in the other database than the
-- log: who can write to that one alone can neither hide what a witness says nor keep it from being asked.
CREATE TABLE log_witnesses (
  tenant        TEXT NOT NULL,
  witness       TEXT NOT NULL,
  -- How many events the witness has seen, as far as is known.
  size          INTEGER NOT NULL DEFAULT 0,
  checkpoint    TEXT NOT NULL DEFAULT '',
  cosignature   TEXT NOT NULL DEFAULT '',
  cosigned_at   INTEGER,
  not_before    INTEGER NOT NULL DEFAULT 0,
  attempts      INTEGER NOT NULL DEFAULT 0,
  failing_since INTEGER,
  outcome       TEXT,
  alarmed       INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, witness)
) STRICT, WITHOUT ROWID;
