// Makes the demonstration tenant through the admin API, as any administrator would: two agents, an MCP server with two tools and the
// policies of examples/bigquery-mcp; and the MCP server of examples/mcp-server, which clients of people use. What is there already is left as it is, so it can run at every start.

import { readFile, readdir } from "node:fs/promises";

const POLICIES = new URL("../../examples/bigquery-mcp/policies/", import.meta.url);
const RESOURCE = "http://localhost:8000/mcp";
const SCOPES = [
  { name: "mcp:bigquery.read", description: "Read the inventory tables in BigQuery", tool: "bigquery_read" },
  { name: "mcp:bigquery.write", description: "Add rows to the inventory tables in BigQuery", tool: "bigquery_write" },
];
const NOTES = {
  resource: "http://localhost:8010/mcp",
  name: "Notes",
  scopes: [
    { name: "notes:read", description: "Read your notes", tool: "list_notes", effect: "reads" },
    { name: "notes:write", description: "Add notes", tool: "add_note", effect: "changes" },
    { name: "notes:delete", description: "Delete notes", tool: "delete_note", effect: "deletes" },
  ],
};
const NOTES_POLICY = {
  description: "Every client may have of Notes what its user allows.",
  cedar: `permit(principal, action == Action::"issue", resource in Resource::"${NOTES.resource}")\nwhen { context has subject };\n`,
  mode: "enforce",
};
const AGENTS = [
  { name: "inventory-read", scope: "mcp:bigquery.read" },
  { name: "inventory-write", scope: "mcp:bigquery.read mcp:bigquery.write" },
];

/**
 * Answers what dev.json says. `known` is the answer of an earlier run over the same state: client secrets are shown only once, so
 * those that still work come from there. It asks for nothing that may be missing, so that a start logs no refusal. `save` is called after each client, so that an interrupted run loses none.
 */
export async function seed({ origin, admin, known = {}, save = async () => {} }) {
  const issuer = `${origin}/t/main`;
  const call = await session(issuer, admin);
  const demo = {
    origin,
    issuer,
    admin,
    agents: known.agents ?? [],
    resources: [RESOURCE, NOTES.resource],
    resource_servers: known.resource_servers ?? [],
  };

  const client = async (list, body, more) => {
    const old = list.findIndex(({ name }) => name === body.client_name);
    if (old >= 0) {
      if ((await call("GET", `clients/${list[old].client_id}`, undefined, [200, 404])).status === 200) return list[old];
      list.splice(old, 1);
    }
    const { body: made } = await call("POST", "clients", {
      grant_types: ["client_credentials"],
      token_endpoint_auth_method: "client_secret_basic",
      owner: "warehouse team",
      allowed_resources: [RESOURCE],
      ...body,
    });
    const entry = { name: body.client_name, client_id: made.client_id, client_secret: made.client_secret, ...more };
    list.push(entry);
    await save(demo);
    return entry;
  };

  const registered = new Set((await all(call, "resources")).map(({ resource }) => resource));
  for (const body of [{ resource: RESOURCE, name: "Inventory in BigQuery", scopes: SCOPES }, NOTES]) {
    if (!registered.has(body.resource)) await call("POST", "resources", body);
  }
  for (const { name, scope } of AGENTS) {
    await client(demo.agents, { client_name: name, kind: "autonomous", tags: ["demo"], scope }, { scope, resource: RESOURCE });
  }
  await client(demo.resource_servers, { client_name: "bigquery-mcp", kind: "resource_server" }, { resource: RESOURCE });

  // Clients that register themselves: for trying any MCP client on this machine.
  const { body: tenant, etag } = await call("GET", "tenants/main");
  if (tenant.settings.registration === undefined) {
    const settings = { ...tenant.settings, registration: { dynamic: "open" } };
    await call("PUT", "tenants/main", { ...tenant, settings }, [200], { "if-match": etag });
  }

  const there = await all(call, "policies");
  const ids = new Map(demo.agents.map(({ name, client_id }) => [name, client_id]));
  for (const file of (await readdir(POLICIES)).filter((name) => name.endsWith(".cedar")).sort()) {
    const text = await readFile(new URL(file, POLICIES), "utf8");
    const id = file.replace(/\.cedar$/, "");
    const policy = {
      description: text.match(/^\/\/ (.*?\.)(\s|$)/)[1],
      cedar: text.replace(/\{\{(.+?)\}\}/g, (_, name) => ids.get(name)),
      mode: "enforce",
    };
    const old = there.some((item) => item.id === id) && await call("GET", `policies/${id}`);
    if (old && old.body.cedar === policy.cedar) continue;
    await call("PUT", `policies/${id}`, policy, [200, 201, 204], old && { "if-match": old.etag });
  }
  if (!there.some(({ id }) => id === "notes")) await call("PUT", "policies/notes", NOTES_POLICY);
  await save(demo);
  return demo;
}

/** A function that calls the admin API with a token of `admin`. */
async function session(issuer, admin) {
  const answer = await fetch(`${issuer}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(`${admin.client_id}:${admin.client_secret}`).toString("base64")}` },
    body: new URLSearchParams({ grant_type: "client_credentials", resource: `${issuer}/admin`, scope: "admin" }),
  });
  const token = await read(answer, [200], "POST token");
  return async (method, path, body, expected = [200, 201], headers = {}) => {
    const response = await fetch(`${issuer}/admin/${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token.access_token}`,
        ...(body && { "content-type": "application/json" }),
        ...headers,
      },
      body: body && JSON.stringify(body),
    });
    return {
      status: response.status,
      etag: response.headers.get("etag"),
      body: await read(response, expected, `${method} admin/${path}`),
    };
  };
}

async function read(response, expected, what) {
  const text = await response.text();
  if (!expected.includes(response.status)) throw new Error(`${what} answered ${response.status}: ${text.slice(0, 500)}`);
  return text && response.headers.get("content-type")?.includes("json") ? JSON.parse(text) : undefined;
}

/** All items of a list, page by page. */
async function all(call, path) {
  const items = [];
  for (let cursor = ""; cursor !== null; ) {
    const { body } = await call("GET", cursor ? `${path}?cursor=${encodeURIComponent(cursor)}` : path);
    items.push(...body.items);
    cursor = body.next_cursor ?? null;
  }
  return items;
}
