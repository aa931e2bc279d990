-- Passkeys: what a relying party keeps of a credential (Web Authentication §4). `id` is the digest of the credential ID, which may be long.
CREATE TABLE passkeys (
  tenant          TEXT NOT NULL,
  id              TEXT NOT NULL,
  user            TEXT NOT NULL,
  credential      TEXT NOT NULL,
  alg             TEXT NOT NULL,
  jwk             TEXT NOT NULL,
  sign_count      INTEGER NOT NULL,
  backup_eligible INTEGER NOT NULL,
  backup_state    INTEGER NOT NULL,
  transports      TEXT NOT NULL,
  name            TEXT,
  created_at      INTEGER NOT NULL,
  used_at         INTEGER,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX passkeys_by_user ON passkeys (tenant, user);

-- Invitations to set up a passkey. `id` is the digest of the token in the link.
CREATE TABLE invitations (
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  user       TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at    INTEGER,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX invitations_by_user ON invitations (tenant, user);
CREATE INDEX invitations_by_expiry ON invitations (expires_at);
