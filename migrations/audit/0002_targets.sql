-- What was done to a record: an id or a name.
ALTER TABLE events ADD COLUMN target TEXT;
UPDATE events SET target = body ->> 'target';
CREATE INDEX events_by_target ON events (tenant, target, id) WHERE target IS NOT NULL;
