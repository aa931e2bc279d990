-- Where an operator's backend hears of connections and accounts. The secret that signs lies sealed.
CREATE TABLE webhooks (
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  body       TEXT NOT NULL,
  secrets    TEXT NOT NULL,
  version    INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- Messages that a webhook has not taken yet. Those that it has not taken in time have failed, and are kept for a while.
CREATE TABLE webhook_messages (
  tenant     TEXT NOT NULL,
  webhook    TEXT NOT NULL,
  id         TEXT NOT NULL,
  body       TEXT NOT NULL,
  attempts   INTEGER NOT NULL DEFAULT 0,
  not_before INTEGER NOT NULL,
  until      INTEGER NOT NULL,
  outcome    TEXT,
  failed_at  INTEGER,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, webhook, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_messages_by_time ON webhook_messages (not_before) WHERE failed_at IS NULL;
CREATE INDEX webhook_messages_due ON webhook_messages (tenant, not_before, id) WHERE failed_at IS NULL;
CREATE INDEX webhook_messages_failed ON webhook_messages (failed_at) WHERE failed_at IS NOT NULL;

-- When it was last a tenant's turn to have its webhooks called, in milliseconds.
ALTER TABLE tenants ADD COLUMN notified_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX tenants_by_notification ON tenants (notified_at, id);
