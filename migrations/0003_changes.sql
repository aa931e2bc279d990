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

-- How often the queue refused an event while it took others.
ALTER TABLE outbox ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
CREATE INDEX outbox_by_attempts ON outbox (attempts, id);

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
