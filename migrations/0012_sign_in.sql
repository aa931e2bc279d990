-- The issuers that people sign in with, for the page that shows them.
CREATE INDEX issuers_for_sign_in ON issuers (tenant, id) WHERE instr(body, '"sign_in"') > 0;
