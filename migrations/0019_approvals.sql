-- What people are asked, and what they said. `key` is the digest of what is asked: requests that ask the same are one. `statement` is the text whose
-- digest is approved. `handle` is the digest of what a client polls with, where it was given a secret for that.
CREATE TABLE approvals (
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  key        TEXT NOT NULL,
  client     TEXT NOT NULL,
  requester  TEXT NOT NULL,
  subject    TEXT NOT NULL,
  door       TEXT NOT NULL,
  status     TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'redeemed', 'denied', 'revoked')),
  statement  TEXT NOT NULL,
  body       TEXT NOT NULL,
  handle     TEXT,
  -- How many seconds lie between two polls, and when the last one was.
  interval   INTEGER NOT NULL DEFAULT 5,
  polled_at  INTEGER NOT NULL DEFAULT 0,
  version    INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_by_key ON approvals (tenant, key, id);
CREATE INDEX approvals_by_client ON approvals (tenant, client, status, expires_at);
CREATE INDEX approvals_by_status ON approvals (tenant, status, id);
CREATE INDEX approvals_by_handle ON approvals (tenant, handle) WHERE handle IS NOT NULL;
CREATE INDEX approvals_by_expiry ON approvals (expires_at);

-- Who can decide about what waits: a user, a role or a group. A row goes with the decision.
CREATE TABLE approval_deciders (
  tenant     TEXT NOT NULL,
  decider    TEXT NOT NULL,
  approval   TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, decider, approval)
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_deciders_by_approval ON approval_deciders (tenant, approval);
CREATE INDEX approval_deciders_by_expiry ON approval_deciders (expires_at);
