-- The token that an event is about, by the digest of its `jti`: a decision is found by its token.
CREATE INDEX events_by_token ON events (tenant, body ->> '$.jti_hash', id) WHERE body ->> '$.jti_hash' IS NOT NULL;
-- Decisions that a shadow policy would have changed are few beside all others.
CREATE INDEX events_shadowed ON events (tenant, id) WHERE body ->> '$.shadow_policies' IS NOT NULL;
