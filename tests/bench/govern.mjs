// What it costs to ask why something was denied, and what other policies would have decided.

import { form } from "./load.mjs";
import { RESOURCE, SCOPE, grant } from "./setup.mjs";

const FORBID = `forbid(principal, action, resource) when { resource.name == "${SCOPE}" && context.hour < 12 };`;

/** Copies of the newest decisions that are kept, until there are so many. Each has a moment of its own, a second after the one before. */
async function addDecisions(database, decisions) {
  await database.prepare(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1),
      kept AS (SELECT row_number() OVER (ORDER BY id) AS k, * FROM (SELECT * FROM events WHERE tenant = 'main' AND type = 'token.issued'
        ORDER BY id DESC LIMIT 500)),
      made AS (SELECT '00bench' || printf('%019d', i) AS made_id, kept.* FROM n JOIN kept ON kept.k = 1 + i % (SELECT count(*) FROM kept))
    INSERT INTO events (tenant, id, at, type, client, subject, refused, body, target) SELECT tenant, made_id, at, type, client, subject, refused,
      json_set(body, '$.id', made_id, '$.decision', made_id), target FROM made`).bind(decisions).run();
}

/** Milliseconds of an explanation (median), and decisions a second of a replay. `start` starts the Writ anew, with what it has stored. */
export async function govern({ admin, agents }, running, { times, decisions, median }) {
  await addDecisions(await running.database("AUDIT_DB"), decisions);
  const question = { client_id: agents[0].client_id, resource: RESOURCE, scopes: [SCOPE] };
  const explained = [];
  for (let i = 0; i < times; i += 1) {
    const begun = performance.now();
    await admin("POST", "policies/explain", question);
    explained.push(performance.now() - begun);
  }
  const changes = [{ id: "bench-forbid", cedar: FORBID }];
  const begun = performance.now();
  let [seen, cursor] = [0, undefined];
  do {
    const page = await admin("POST", "policies/replay", { changes, limit: 5_000, cursor });
    seen += page.decisions;
    cursor = page.next_cursor;
  } while (cursor !== undefined);
  if (seen < decisions) throw new Error(`${decisions} decisions were to be replayed, but only ${seen} were`);
  return { explain: median(explained), replay: seen / ((performance.now() - begun) / 1000), decisions: seen };
}

const DEPLOY = "http://localhost:9000/deploy";

/** Milliseconds from an agent's request that needs an approval to its token (median over agents): it asks, a person decides, it asks again. */
export async function approvals({ admin, url }, { agents, median }) {
  await admin("POST", "resources", { resource: DEPLOY, name: "Deployments", scopes: [{ name: "deploy", description: "Deploy" }] });
  await admin("PUT", "policies/deploy", {
    description: "Deployments",
    mode: "enforce",
    cedar: `@require("approval")
      permit(principal, action == Action::"issue", resource in Resource::"${DEPLOY}") when { principal.tags.contains("deploy") };`,
  });
  const { id: owner } = await admin("POST", "users", { name: "Olga" });
  const seen = [];
  for (let i = 0; i < agents; i += 1) {
    const agent = await admin("POST", "clients", { client_name: `deployer ${i}`, owner, tags: ["deploy"], allowed_resources: [DEPLOY] });
    const request = form(agent, { ...grant, resource: DEPLOY, scope: "deploy" });
    const answered = async (status) => {
      const response = await fetch(url, request);
      const answer = await response.json();
      if (response.status !== status) throw new Error(`${response.status} instead of ${status}: ${JSON.stringify(answer)}`);
      return answer;
    };
    const begun = performance.now();
    const { approval_id: approval } = await answered(400);
    await admin("POST", `approvals/${approval}/decide`, { decision: "approve" });
    await answered(200);
    seen.push(performance.now() - begun);
  }
  return median(seen);
}
