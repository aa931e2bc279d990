-- How a client came: by an administrator, by the document at its id, or by itself.
ALTER TABLE clients ADD COLUMN registration TEXT NOT NULL DEFAULT 'admin'
  CHECK (registration IN ('admin', 'metadata_document', 'dynamic'));

-- A person who is signed in, in one browser. `id` is the digest of the cookie.
CREATE TABLE sessions (
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  user       TEXT NOT NULL,
  -- Who signed the person in, and how the issuer calls that session.
  issuer     TEXT NOT NULL,
  sid        TEXT,
  acr        TEXT,
  auth_time  INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (tenant, user);
CREATE INDEX sessions_by_sid ON sessions (tenant, issuer, sid) WHERE sid IS NOT NULL;
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- What a person lets a client do at one resource, answered to one host. `lines` has each scope with its end.
-- `version` counts what was taken back: tokens of an older version are not honoured.
CREATE TABLE consents (
  tenant        TEXT NOT NULL,
  id            TEXT NOT NULL,
  user          TEXT NOT NULL,
  client        TEXT NOT NULL,
  redirect_host TEXT NOT NULL,
  resource      TEXT NOT NULL,
  -- What the client said about itself, as a digest: another one asks again.
  document      TEXT NOT NULL,
  lines         TEXT NOT NULL,
  version       INTEGER NOT NULL DEFAULT 1,
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, user, client, redirect_host, resource)
) STRICT;
CREATE INDEX consents_by_client ON consents (tenant, client);

-- Authorization codes. One that was redeemed has a claim, and stays until it would have expired.
CREATE TABLE codes (
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  client     TEXT NOT NULL,
  user       TEXT NOT NULL,
  family     TEXT NOT NULL,
  body       TEXT NOT NULL,
  claim      TEXT,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX codes_by_expiry ON codes (expires_at);

-- Refresh families: the refresh tokens that came of one code, of which the one of `generation` is good. No token is stored.
CREATE TABLE refresh_families (
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  consent    TEXT NOT NULL,
  client     TEXT NOT NULL,
  user       TEXT NOT NULL,
  body       TEXT NOT NULL,
  generation INTEGER NOT NULL DEFAULT 1,
  -- When the last rotation was, in milliseconds, and from which address.
  rotated_at INTEGER NOT NULL,
  rotated_by TEXT,
  status     TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'revoked')),
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_families_by_consent ON refresh_families (tenant, consent);
CREATE INDEX refresh_families_by_user ON refresh_families (tenant, user, client);
CREATE INDEX refresh_families_by_client ON refresh_families (tenant, client);
CREATE INDEX refresh_families_by_expiry ON refresh_families (expires_at);
