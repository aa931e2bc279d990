-- What becomes of a request is looked for among the approvals of it that were not used, from their end: those that were used or are over are not walked.
CREATE INDEX approvals_open ON approvals (tenant, key, expires_at) WHERE status <> 'redeemed';
-- How many a client has asked for in a day, for one subject.
CREATE INDEX approvals_by_day ON approvals (tenant, client, subject, created_at);
