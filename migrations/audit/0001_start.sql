-- The audit trail (AUDIT_DB). Ids are ULIDs: they sort by time, and a moment is a bound of the primary key.
CREATE TABLE events (
  tenant  TEXT NOT NULL,
  id      TEXT NOT NULL,
  at      INTEGER NOT NULL,
  type    TEXT NOT NULL,
  client  TEXT,
  subject TEXT,
  -- 1 if something was refused.
  refused INTEGER NOT NULL,
  body    TEXT NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX events_by_client ON events (tenant, client, id);
CREATE INDEX events_by_type ON events (tenant, type, id);
CREATE INDEX events_by_identity ON events (tenant, client, subject, id);
CREATE INDEX events_issued ON events (tenant, client, subject, id) WHERE type = 'token.issued';
CREATE INDEX events_by_client_and_type ON events (tenant, client, type, id);
-- Refusals are few beside what was granted: without indexes of their own, finding them would walk over all the rest.
CREATE INDEX events_refused ON events (tenant, id) WHERE refused = 1;
CREATE INDEX events_refused_by_type ON events (tenant, type, id) WHERE refused = 1;
CREATE INDEX events_refused_by_client ON events (tenant, client, id) WHERE refused = 1;
CREATE INDEX events_refused_by_client_and_type ON events (tenant, client, type, id) WHERE refused = 1;

-- When a client last got a token, in milliseconds: it outlives the events that tell so.
CREATE TABLE last_tokens (
  tenant TEXT NOT NULL,
  client TEXT NOT NULL,
  at     INTEGER NOT NULL,
  PRIMARY KEY (tenant, client)
) STRICT, WITHOUT ROWID;
