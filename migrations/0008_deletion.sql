-- Tenants that were deleted. A name is never given again, for others may trust its issuer; what the tenant had goes by itself, until
-- `is_gone` is 1. The cron takes the one first to which it came the longest ago.
CREATE TABLE former_tenants (
  id         TEXT PRIMARY KEY,
  deleted_at INTEGER NOT NULL,
  visited_at INTEGER NOT NULL DEFAULT 0,
  is_gone    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX former_tenants_left ON former_tenants (visited_at, id) WHERE is_gone = 0;

-- Whose a dead letter was, where it tells.
CREATE INDEX dead_letters_by_tenant ON dead_letters (CASE WHEN json_valid(body) THEN body ->> '$.tenant' END);
