-- Looking records up by name.
CREATE INDEX clients_by_name ON clients (tenant, json_extract(metadata, '$.client_name'), id);
CREATE INDEX users_by_name ON users (tenant, json_extract(body, '$.name'), id);
CREATE INDEX resources_by_name ON resources (tenant, json_extract(body, '$.name'), id);
CREATE INDEX issuers_by_name ON issuers (tenant, json_extract(body, '$.name'), id);
