// What the measurements stand on: a stand-in for Google's token endpoint, and a tenant with any number of clients and policies, made
// through the admin API. Only the clients after the first are cloned in the database: they share its secret.

import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { firstAdmin } from "../../scripts/lib/miniflare.mjs";
import { form } from "./load.mjs";
import { keyPair } from "./proofs.mjs";

export const RESOURCE = "http://localhost:8000/mcp";
export const SCOPE = "mcp:bigquery.read";
const CONNECTION = "bigquery-read";

/** The form that an agent sends to the token endpoint. */
export const grant = { grant_type: "client_credentials", resource: RESOURCE, scope: SCOPE };

/** The form of a delegation (RFC 8693), but for its two tokens. */
export const exchange = {
  grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
  resource: RESOURCE,
  scope: SCOPE,
  subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
  actor_token_type: "urn:ietf:params:oauth:token-type:access_token",
};

/** Answers every assertion with an access token and counts how often it was asked. */
export async function google() {
  const server = createServer((request, response) => {
    // The document of a client that is known by it.
    if (request.url === "/client.json") {
      const document = { ...stand.document, client_id: `${stand.origin}/client.json` };
      response.setHeader("content-type", "application/json").end(JSON.stringify(document));
      return;
    }
    stand.exchanges += 1;
    request.resume().on("end", () => response.setHeader("content-type", "application/json").end(JSON.stringify({
      access_token: `ya29.${"x".repeat(200)}`,
      expires_in: 3599,
      token_type: "Bearer",
    })));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const stand = {
    origin: `http://127.0.0.1:${server.address().port}`,
    exchanges: 0,
    /** What else may be called on this machine. */
    others: [],
    document: {},
    close: () => server.close(),
  };
  return stand;
}

/** An access token, or an error that says what came instead. */
export async function token(url, client, fields) {
  const response = await fetch(url, form(client, fields));
  const body = await response.text();
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${body}`);
  return JSON.parse(body).access_token;
}

/** The admin API as a function; asks for a new token before the old one dies. */
function admin({ issuer }, client) {
  let bearer;
  let until = 0;
  return async (method, path, body) => {
    if (Date.now() > until) {
      bearer = await token(`${issuer}/token`, client, {
        grant_type: "client_credentials",
        resource: `${issuer}/admin`,
        scope: "admin",
      });
      until = Date.now() + 120_000;
    }
    const headers = { authorization: `Bearer ${bearer}`, "content-type": "application/json" };
    const response = await fetch(`${issuer}/admin/${path}`, { method, headers, body: JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`);
    return response.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text;
  };
}

/**
 * Fills an empty Writ. Of the policies one is for leases, one for exchanges, one lets every client have its token (it asks for a tag, an address and an
 * hour), and each of the others names one client. Answers the agents and what a lease takes.
 */
export async function populate(writ, { clients, policies }, { origin }) {
  await writ.migrate();
  const database = await writ.database();
  const call = admin(writ, await firstAdmin(database, writ.origin));

  await call("POST", "resources", {
    resource: RESOURCE,
    name: "BigQuery",
    scopes: [{ name: SCOPE, description: "Read tables", tool: "bigquery_read" }],
  });
  const machine = { grant_types: ["client_credentials"], token_endpoint_auth_method: "client_secret_basic" };
  const agent = await call("POST", "clients", {
    ...machine,
    client_name: "agent",
    kind: "autonomous",
    owner: "bench@example.com",
    tags: ["bench"],
    allowed_resources: [RESOURCE],
  });
  const server = await call("POST", "clients", {
    ...machine,
    client_name: "server",
    kind: "resource_server",
    allowed_resources: [RESOURCE],
  });
  const key = keyPair();
  const signer = await call("POST", "clients", {
    client_name: "signer",
    grant_types: ["client_credentials"],
    token_endpoint_auth_method: "private_key_jwt",
    jwks: { keys: [key.jwk] },
    tags: ["bench"],
    allowed_resources: [RESOURCE],
  });
  const delegate = await call("POST", "clients", {
    ...machine,
    client_name: "delegate",
    grant_types: ["client_credentials", exchange.grant_type],
    tags: ["bench"],
    allowed_resources: [RESOURCE],
    serves: [RESOURCE],
  });
  const idle = await call("POST", "clients", { ...machine, client_name: "idle", tags: ["bench"], allowed_resources: [RESOURCE] });
  await clone(database, agent.client_id, 1, clients - 1);
  const agents = Array.from({ length: clients }, (_, i) =>
    ({ client_id: i === 0 ? agent.client_id : `${agent.client_id}_${i}`, client_secret: agent.client_secret }));

  await call("PUT", `connections/${CONNECTION}`, {
    kind: "google_service_account",
    config: { scopes: ["https://www.googleapis.com/auth/bigquery.readonly"] },
    secret: serviceAccount(origin),
  });
  const policy = (id, description, cedar) => call("PUT", `policies/${id}`, { description, cedar, mode: "enforce" });
  await policy("lease", "The server may read for agents", `permit(principal, action == Action::"lease",
    resource == Connection::"${CONNECTION}") when { context.scopes.contains("${SCOPE}") };`);
  await policy("everyone", "Agents of the benchmark", `permit(principal, action == Action::"issue",
    resource in Resource::"${RESOURCE}") when { principal.tags.contains("bench") && context has ip &&
    context.ip.isInRange(ip("192.0.2.0/24")) && context.hour >= 0 && context.hour < 24 };`);
  await policy("exchanges", "Delegates of the benchmark", `permit(principal, action == Action::"exchange",
    resource in Resource::"${RESOURCE}") when { context.chain_tags.contains("bench") };`);
  for (let i = 3; i < policies; i += 1) {
    const { client_id } = agents[i - 3];
    await policy(`agent-${i}`, "One agent", `permit(principal == Client::"${client_id}", action == Action::"issue",
      resource in Resource::"${RESOURCE}") when { resource.name == "${SCOPE}" };`);
    if (i % 100 === 0) console.log(`  ${i} of ${policies} policies`);
  }
  /** Makes the directory larger by clients that ask for nothing. */
  const grow = (to) => clone(database, agent.client_id, clients, to - 1);
  return { admin: call, agents, idle, grow, server, signer, key, delegate, lease: `${writ.issuer}/connections/${CONNECTION}/token` };
}

/** Copies of the client `id`, named `id_1`, `id_2`, … by these numbers, with the same secret. */
async function clone(database, id, first, last) {
  const numbers = "WITH RECURSIVE n(i) AS (SELECT CAST(?2 AS INTEGER) UNION ALL SELECT i + 1 FROM n WHERE i < ?3)";
  await database.batch([
    `INSERT INTO clients (tenant, id, metadata, status, revoked_before, version, created_at, updated_at)
       SELECT tenant, id || '_' || i, metadata, status, revoked_before, version, created_at, updated_at FROM clients JOIN n WHERE id = ?1`,
    `INSERT INTO client_secrets SELECT tenant, client || '_' || i, id, digest, created_at, expires_at
       FROM client_secrets JOIN n WHERE client = ?1`,
  ].map((insert) => database.prepare(`${numbers} ${insert}`).bind(id, first, last)));
}

function serviceAccount(origin) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return {
    type: "service_account",
    project_id: "bench",
    private_key_id: "bench",
    private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
    client_email: "reader@bench.iam.gserviceaccount.com",
    client_id: "1",
    token_uri: `${origin}/token`,
  };
}
