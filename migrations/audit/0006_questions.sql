-- Decisions that a shadow policy would have changed are few beside all others.
CREATE INDEX events_shadowed ON events (tenant, id) WHERE body ->> '$.shadow_policies' IS NOT NULL;
