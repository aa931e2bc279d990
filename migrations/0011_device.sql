-- Device codes (RFC 8628). `id` and `user_code` are digests. One that a person has allowed has a row of the same id in `codes`.
CREATE TABLE device_codes (
  tenant     TEXT NOT NULL,
  id         TEXT NOT NULL,
  user_code  TEXT NOT NULL,
  client     TEXT NOT NULL,
  request    TEXT NOT NULL,
  status     TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'denied')),
  -- How many seconds lie between two polls, and when the last one was.
  interval   INTEGER NOT NULL,
  polled_at  INTEGER NOT NULL DEFAULT 0,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id),
  UNIQUE (tenant, user_code)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_codes_by_client ON device_codes (tenant, client, expires_at);
CREATE INDEX device_codes_by_expiry ON device_codes (expires_at);
