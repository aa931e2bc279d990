-- Who an agent may be, what it has proved, and what has been stopped.

-- A tenant's own bounds as JSON; tokens issued up to `revoked_before` are not honoured.
ALTER TABLE tenants ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
ALTER TABLE tenants ADD COLUMN revoked_before INTEGER NOT NULL DEFAULT 0;
ALTER TABLE connections ADD COLUMN status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'retired'));

-- Single use, certain everywhere. `key` is a digest over who said it and under which name, so that nobody spends another's.
CREATE TABLE spent (
  tenant TEXT NOT NULL,
  kind   TEXT NOT NULL,
  key    TEXT NOT NULL,
  until  INTEGER NOT NULL,
  PRIMARY KEY (tenant, kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_by_end ON spent (until);

-- Failed authentications of a client or from an address, within the period that began at `since`.
CREATE TABLE failures (
  tenant TEXT NOT NULL,
  key    TEXT NOT NULL,
  since  INTEGER NOT NULL,
  count  INTEGER NOT NULL,
  PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX failures_by_count ON failures (tenant, count);

-- Clients that are workloads, so that finding one by its assertion does not look at all of them.
CREATE INDEX clients_with_workloads ON clients (tenant, id) WHERE instr(metadata, '"workload_identities"') > 0;

-- Outside issuers whose assertions count here.
CREATE TABLE issuers (
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  issuer     TEXT NOT NULL,
  body       TEXT NOT NULL,
  version    INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, issuer)
) STRICT;

CREATE TABLE users (
  tenant         TEXT NOT NULL,
  id             TEXT NOT NULL,
  body           TEXT NOT NULL,
  status         TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'retired')),
  revoked_before INTEGER NOT NULL DEFAULT 0,
  version        INTEGER NOT NULL DEFAULT 1,
  created_at     INTEGER NOT NULL,
  updated_at     INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT;

-- What a user is called by an outside issuer.
CREATE TABLE accounts (
  tenant  TEXT NOT NULL,
  issuer  TEXT NOT NULL,
  subject TEXT NOT NULL,
  user    TEXT NOT NULL,
  PRIMARY KEY (tenant, issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX accounts_by_user ON accounts (tenant, user);

-- Agentic identities: client × principal. `place` is its index in the status list, given once.
CREATE TABLE identities (
  tenant         TEXT NOT NULL,
  id             TEXT NOT NULL,
  place          INTEGER NOT NULL,
  client         TEXT NOT NULL,
  subject        TEXT NOT NULL,
  -- The grant type that it was first seen with.
  registered_by  TEXT NOT NULL,
  status         TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'retired')),
  revoked_before INTEGER NOT NULL DEFAULT 0,
  created_at     INTEGER NOT NULL,
  updated_at     INTEGER NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, client, subject),
  UNIQUE (tenant, place)
) STRICT;
CREATE INDEX identities_by_subject ON identities (tenant, subject);

-- Chains that were stopped: the digest of a `jti`. No token with it, or made from it, is honoured.
CREATE TABLE stopped_chains (
  tenant TEXT NOT NULL,
  jti    TEXT NOT NULL,
  until  INTEGER NOT NULL,
  PRIMARY KEY (tenant, jti)
) STRICT, WITHOUT ROWID;

-- Event streams of the Shared Signals Framework, and the signals that wait for their receivers.
CREATE TABLE streams (
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  client     TEXT NOT NULL,
  body       TEXT NOT NULL,
  status     TEXT NOT NULL DEFAULT 'enabled' CHECK (status IN ('enabled', 'paused', 'disabled')),
  version    INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, client)
) STRICT;

CREATE TABLE signals (
  tenant     TEXT NOT NULL,
  stream     TEXT NOT NULL,
  id         TEXT NOT NULL,
  body       TEXT NOT NULL,
  attempts   INTEGER NOT NULL DEFAULT 0,
  not_before INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, stream, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX signals_by_time ON signals (not_before);

-- What was stopped for good, as its receipt told: whoever stops it again gets the same one.
CREATE TABLE receipts (
  tenant TEXT NOT NULL,
  kind   TEXT NOT NULL,
  id     TEXT NOT NULL,
  body   TEXT NOT NULL,
  PRIMARY KEY (tenant, kind, id)
) STRICT, WITHOUT ROWID;

-- Clients to which something happens by itself, so that the cron need not look at all of them.
CREATE INDEX clients_with_an_end ON clients (tenant, id) WHERE status = 'active'
  AND (json_extract(metadata, '$.expires_at') IS NOT NULL OR json_extract(metadata, '$.suspend_unused_after_days') IS NOT NULL);
