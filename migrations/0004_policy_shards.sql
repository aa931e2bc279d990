-- Policies lie in shards, so that a change writes one shard and a question reads few. The shard of a policy follows from what all its
-- statements name; what was written before there were shards is in the one that every question reads, whose name is empty.
ALTER TABLE policies ADD COLUMN shard TEXT NOT NULL DEFAULT '';
CREATE INDEX policies_by_shard ON policies (tenant, shard, id);

-- The content hash of each shard: what the tenant's pointer (`tenants.policy_hash`) is made from.
CREATE TABLE policy_shards (
  tenant TEXT NOT NULL,
  shard  TEXT NOT NULL,
  hash   TEXT NOT NULL,
  PRIMARY KEY (tenant, shard)
) STRICT, WITHOUT ROWID;
INSERT INTO policy_shards (tenant, shard, hash) SELECT id, '', policy_hash FROM tenants WHERE policy_hash <> '';
