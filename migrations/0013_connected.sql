-- Whether the user has stopped an agent that acts for them: 1 until they let it go on, 2 until they consent anew. What an administrator
-- has stopped is in `status`.
ALTER TABLE identities ADD COLUMN held INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1, 2));
CREATE INDEX identities_held ON identities (tenant, place) WHERE held <> 0;

-- When each scope was last given to a token, in seconds, as an object; a day's use is noted once.
ALTER TABLE consents ADD COLUMN used TEXT NOT NULL DEFAULT '{}';

-- Up to which consent the cron has looked for those that have ended.
ALTER TABLE tenants ADD COLUMN looked_at_consent TEXT NOT NULL DEFAULT '';

CREATE INDEX codes_by_user ON codes (tenant, user, client);
