-- Tenants that were deleted: what still arrives of them is not kept.
CREATE TABLE former_tenants (
  id         TEXT PRIMARY KEY,
  deleted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
