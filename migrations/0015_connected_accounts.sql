-- Accounts at services, connected by people: of a user, or of the tenant (`owner` is then empty). The tokens lie here sealed, not in KV: they
-- rotate, and KV may answer with the ones before. `generation` counts sets of tokens; `claim` is the nonce of the last attempt to get others.
CREATE TABLE connected_accounts (
  tenant        TEXT NOT NULL,
  id            TEXT NOT NULL,
  connection    TEXT NOT NULL,
  owner         TEXT NOT NULL,
  label         TEXT NOT NULL,
  name          TEXT NOT NULL,
  subject       TEXT NOT NULL,
  scope_asked   TEXT NOT NULL,
  scope         TEXT NOT NULL,
  status        TEXT NOT NULL,
  wrapped_key   TEXT NOT NULL,
  sealed        TEXT NOT NULL,
  expires_at    INTEGER NOT NULL,
  generation    INTEGER NOT NULL DEFAULT 1,
  claim         TEXT,
  claimed_until INTEGER NOT NULL DEFAULT 0,
  attempted_at  INTEGER NOT NULL DEFAULT 0,
  retried       INTEGER NOT NULL DEFAULT 0,
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX connected_accounts_by_owner ON connected_accounts (tenant, connection, owner, label);
CREATE INDEX connected_accounts_by_user ON connected_accounts (tenant, owner, connection, label);
CREATE INDEX connected_accounts_by_connection ON connected_accounts (tenant, connection, id);
CREATE INDEX connected_accounts_by_version ON connected_accounts (tenant, CAST(wrapped_key AS INTEGER));

-- Accounts that have ended, until their tokens have been revoked at the service.
CREATE TABLE ended_accounts (
  tenant      TEXT NOT NULL,
  id          TEXT NOT NULL,
  connection  TEXT NOT NULL,
  owner       TEXT NOT NULL,
  generation  INTEGER NOT NULL,
  wrapped_key TEXT NOT NULL,
  sealed      TEXT NOT NULL,
  ended_at    INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
