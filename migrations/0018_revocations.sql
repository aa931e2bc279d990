-- When revoking the tokens of an account that has ended was last tried: what was tried longest ago is next, so that a service that is down keeps no
-- other from its turn.
ALTER TABLE ended_accounts ADD COLUMN tried_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX ended_accounts_by_turn ON ended_accounts (tenant, tried_at, id);
