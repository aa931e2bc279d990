-- The stop of a token is kept longer where a question waits that was asked with it. Questions that may outlive a stop are found from their end.
CREATE INDEX approvals_asked ON approvals (tenant, expires_at) WHERE status = 'pending' AND door = 'request';
