-- How far each sink has come: the sequence number of the last event that it has taken, what became of the last attempt, and who is sending. `run` and
-- `version` are those of the sink that this is about. The moments of attempts are milliseconds.
CREATE TABLE sink_states (
  tenant        TEXT NOT NULL,
  sink          TEXT NOT NULL,
  run           INTEGER NOT NULL,
  version       INTEGER NOT NULL,
  position      INTEGER NOT NULL,
  -- How many events the next batch has at most: fewer where a batch was refused.
  size          INTEGER NOT NULL,
  -- 1 while there may be events to send.
  waits         INTEGER NOT NULL,
  not_before    INTEGER NOT NULL DEFAULT 0,
  claim         TEXT,
  attempts      INTEGER NOT NULL DEFAULT 0,
  failing_since INTEGER,
  outcome       TEXT,
  taken         INTEGER NOT NULL DEFAULT 0,
  taken_at      INTEGER,
  -- Events of its run that were forgotten before it could take them.
  missed        INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, sink)
) STRICT, WITHOUT ROWID;
CREATE INDEX sink_states_due ON sink_states (not_before, tenant, sink) WHERE waits = 1;

-- Finding events by what else they tell of. Each index has the events alone that tell of it.
CREATE INDEX events_by_subject ON events (tenant, subject, id) WHERE subject IS NOT NULL;
CREATE INDEX events_by_connection ON events (tenant, body ->> '$.connection', id) WHERE body ->> '$.connection' IS NOT NULL;
CREATE INDEX events_by_tool ON events (tenant, body ->> '$.tool', id) WHERE body ->> '$.tool' IS NOT NULL;
CREATE INDEX events_by_reason ON events (tenant, body ->> '$.reason', id) WHERE refused = 1;

-- Everybody in the chain of an event.
CREATE TABLE event_actors (
  tenant TEXT NOT NULL,
  actor  TEXT NOT NULL,
  id     TEXT NOT NULL,
  PRIMARY KEY (tenant, actor, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_actors_by_id ON event_actors (tenant, id);
INSERT INTO event_actors (tenant, actor, id)
  SELECT DISTINCT tenant, value, events.id FROM events, json_each(body, '$.chain') WHERE value IS NOT NULL;

-- How many events each hour had, by type and by client; and up to which sequence number they are counted.
CREATE TABLE event_counts (
  tenant    TEXT NOT NULL,
  dimension TEXT NOT NULL,
  hour      INTEGER NOT NULL,
  key       TEXT NOT NULL,
  count     INTEGER NOT NULL,
  refused   INTEGER NOT NULL,
  PRIMARY KEY (tenant, dimension, hour, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE counted_events (
  tenant  TEXT PRIMARY KEY,
  counted INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
