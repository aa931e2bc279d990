-- How a client came that no administrator registered. `registered_by` is the user who first let it in, or the initial access token.
-- `registration_token` is the digest of the token by which it manages itself (RFC 7592). From `unused_until` on it goes, unless somebody
-- has let it in meanwhile.
ALTER TABLE clients ADD COLUMN registered_by TEXT;
ALTER TABLE clients ADD COLUMN registration_token TEXT;
ALTER TABLE clients ADD COLUMN unused_until INTEGER;
CREATE INDEX clients_by_unused ON clients (tenant, unused_until) WHERE unused_until IS NOT NULL;

-- Initial access tokens (RFC 7591 §3). `digest` is the SHA-256 of the token.
CREATE TABLE initial_access_tokens (
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  digest     TEXT NOT NULL,
  name       TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX initial_access_tokens_by_expiry ON initial_access_tokens (expires_at);
