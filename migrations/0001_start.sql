-- Everything carries its tenant. Times are seconds since the epoch; bytes are base64url text.
-- `version` counts the changes of a row and is its ETag. `tenants.epoch` counts the changes that an isolate must notice.

CREATE TABLE tenants (
  id          TEXT PRIMARY KEY,
  name        TEXT NOT NULL,
  zone        TEXT NOT NULL DEFAULT 'UTC',
  status      TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
  epoch       INTEGER NOT NULL DEFAULT 0,
  policy_hash TEXT NOT NULL DEFAULT '',
  version     INTEGER NOT NULL DEFAULT 1,
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL
) STRICT;

INSERT INTO tenants (id, name, created_at, updated_at) VALUES ('main', 'Main', 0, 0);

CREATE TABLE signing_keys (
  tenant     TEXT NOT NULL,
  kid        TEXT NOT NULL,
  alg        TEXT NOT NULL CHECK (alg IN ('ES256', 'RS256')),
  state      TEXT NOT NULL CHECK (state IN ('next', 'current', 'retired')),
  jwk        TEXT NOT NULL,
  sealed     TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, kid)
) STRICT;
CREATE UNIQUE INDEX one_signing_key_per_state ON signing_keys (tenant, alg, state) WHERE state <> 'retired';

CREATE TABLE clients (
  tenant         TEXT NOT NULL,
  id             TEXT NOT NULL,
  metadata       TEXT NOT NULL,
  status         TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'retired')),
  -- Tokens issued up to this moment are not honoured.
  revoked_before INTEGER NOT NULL DEFAULT 0,
  version        INTEGER NOT NULL DEFAULT 1,
  created_at     INTEGER NOT NULL,
  updated_at     INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT;

CREATE TABLE client_secrets (
  tenant     TEXT NOT NULL,
  client     TEXT NOT NULL,
  id         TEXT NOT NULL,
  digest     TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  PRIMARY KEY (tenant, client, id)
) STRICT;

CREATE TABLE resources (
  tenant       TEXT NOT NULL,
  id           TEXT NOT NULL,
  uri          TEXT NOT NULL,
  -- The form in which two spellings of one URI are equal.
  meeting_form TEXT NOT NULL,
  body         TEXT NOT NULL,
  version      INTEGER NOT NULL DEFAULT 1,
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, meeting_form)
) STRICT;

CREATE TABLE policies (
  tenant      TEXT NOT NULL,
  id          TEXT NOT NULL,
  description TEXT NOT NULL,
  cedar       TEXT NOT NULL,
  mode        TEXT NOT NULL CHECK (mode IN ('enforce', 'shadow', 'off')),
  version     INTEGER NOT NULL DEFAULT 1,
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT;

CREATE TABLE connections (
  tenant     TEXT NOT NULL,
  name       TEXT NOT NULL,
  kind       TEXT NOT NULL,
  config     TEXT NOT NULL,
  version    INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, name)
) STRICT;

-- The ciphertext lies in KV under `id`, which is never reused. Without `wrapped_key` nothing reads it again.
CREATE TABLE credentials (
  tenant      TEXT NOT NULL,
  connection  TEXT NOT NULL,
  id          TEXT NOT NULL,
  wrapped_key TEXT NOT NULL,
  created_at  INTEGER NOT NULL,
  PRIMARY KEY (tenant, connection)
) STRICT;

-- At most one downstream token per connection and scope, and at most one request that is fetching it.
CREATE TABLE leases (
  tenant        TEXT NOT NULL,
  connection    TEXT NOT NULL,
  scope         TEXT NOT NULL,
  credential    TEXT NOT NULL,
  sealed        TEXT,
  expires_at    INTEGER NOT NULL DEFAULT 0,
  claim         TEXT,
  claimed_until INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, connection, scope)
) STRICT;

-- Events on their way to the queue.
CREATE TABLE outbox (
  id   TEXT PRIMARY KEY,
  body TEXT NOT NULL
) STRICT;

CREATE TABLE events (
  tenant  TEXT NOT NULL,
  id      TEXT NOT NULL,
  at      INTEGER NOT NULL,
  type    TEXT NOT NULL,
  client  TEXT,
  body    TEXT NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX events_by_client ON events (tenant, client, id);
CREATE INDEX events_by_type ON events (tenant, type, id);

CREATE TABLE dead_letters (
  id          TEXT PRIMARY KEY,
  body        TEXT NOT NULL,
  received_at INTEGER NOT NULL
) STRICT;
