-- Tokens of single agents (connections of the kind `aws`) are rows of their own: those that have expired are removed.
CREATE INDEX leases_by_expiry ON leases (expires_at);
