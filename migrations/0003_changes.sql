-- What each change of a tenant made stale: typed keys under the tenant's sequence number (`tenants.epoch`). Isolates drop just those.
CREATE TABLE changes (
  tenant TEXT NOT NULL,
  seq    INTEGER NOT NULL,
  key    TEXT NOT NULL,
  at     INTEGER NOT NULL,
  PRIMARY KEY (tenant, seq, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX changes_by_time ON changes (at);

-- Counts the changes of a tenant's policies, so that other changes do not stand in their way.
ALTER TABLE tenants ADD COLUMN policy_version INTEGER NOT NULL DEFAULT 0;

-- When a cron last looked after a tenant, in the Worker with the role `token`, in one with `broker`, and in others: the longest ago
-- comes first.
ALTER TABLE tenants ADD COLUMN visited_by_token INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN visited_by_broker INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN visited_by_others INTEGER NOT NULL DEFAULT 0;
CREATE INDEX tenants_by_visit_of_token ON tenants (visited_by_token, id);
CREATE INDEX tenants_by_visit_of_broker ON tenants (visited_by_broker, id);
CREATE INDEX tenants_by_visit_of_others ON tenants (visited_by_others, id);

-- When it was last a tenant's turn to have its signals pushed, in milliseconds.
ALTER TABLE tenants ADD COLUMN pushed_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX tenants_by_push ON tenants (pushed_at, id);
-- Up to which client the cron has looked for those that are not used: the next run goes on there.
ALTER TABLE tenants ADD COLUMN looked_at_client TEXT NOT NULL DEFAULT '';
CREATE INDEX signals_due ON signals (tenant, not_before);
CREATE INDEX signals_by_age ON signals (tenant, created_at);

-- How often the queue refused an event, and how often it did so while it took others.
ALTER TABLE outbox ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
CREATE INDEX outbox_by_tries ON outbox (tries, id);

-- Which client has used a connection for whom, until when: what a kill finds without the audit trail.
CREATE TABLE lease_uses (
  tenant     TEXT NOT NULL,
  client     TEXT NOT NULL,
  subject    TEXT NOT NULL,
  connection TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, client, subject, connection)
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_uses_by_subject ON lease_uses (tenant, subject);
CREATE INDEX lease_uses_by_end ON lease_uses (expires_at);

-- The audit trail lies in a database of its own: see audit/.
DROP TABLE events;

CREATE INDEX failures_by_time ON failures (since);
CREATE INDEX stopped_chains_by_end ON stopped_chains (until);

-- Data keys by the version of the key-encryption key that wrapped them.
CREATE INDEX credentials_by_version ON credentials (tenant, CAST(wrapped_key AS INTEGER));

-- Clients that the cron suspends: beyond their expiry, or not used. An index over both would be walked from end to end.
DROP INDEX clients_with_an_end;
CREATE INDEX clients_by_expiry ON clients (tenant, json_extract(metadata, '$.expires_at'))
  WHERE status = 'active' AND json_extract(metadata, '$.expires_at') IS NOT NULL;
CREATE INDEX clients_that_lapse ON clients (tenant, id)
  WHERE status = 'active' AND json_extract(metadata, '$.suspend_unused_after_days') IS NOT NULL;

CREATE INDEX resources_by_server ON resources (tenant, body ->> 'authorization_server', id)
  WHERE body ->> 'authorization_server' IS NOT NULL;

-- Pages of the directory, in their order.
DROP INDEX identities_by_subject;
CREATE INDEX identities_by_subject ON identities (tenant, subject, id);
CREATE INDEX identities_by_client ON identities (tenant, client, id);

-- What the status list is made of: few are stopped among many. An identity whose client or user is gone is retired with them.
CREATE INDEX identities_stopped ON identities (tenant, place) WHERE status <> 'active';
CREATE INDEX clients_stopped ON clients (tenant, id) WHERE status <> 'active';
CREATE INDEX users_stopped ON users (tenant, id) WHERE status <> 'active';
UPDATE identities SET status = 'retired' WHERE status <> 'retired' AND (
  NOT EXISTS (SELECT 1 FROM clients c WHERE c.tenant = identities.tenant AND c.id = identities.client)
  OR (NOT EXISTS (SELECT 1 FROM clients c WHERE c.tenant = identities.tenant AND c.id = identities.subject)
    AND NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant = identities.tenant AND u.id = identities.subject)));

-- Streams whose signals are pushed.
CREATE INDEX streams_pushed ON streams (tenant, id) WHERE json_extract(body, '$.delivery.method') = 'urn:ietf:rfc:8935';
