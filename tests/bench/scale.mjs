// What a large directory costs: changes while others ask, many policies, a status list with many places.

import { setTimeout as sleep } from "node:timers/promises";
import { RESOURCE, SCOPE, grant, token } from "./setup.mjs";

/** One change a second of a client that nobody asks for: it is suspended, and resumed. Answers how to end it. */
export function changes({ admin, idle }) {
  let done = false;
  let count = 0;
  const run = async () => {
    while (!done) {
      const begun = performance.now();
      await admin("POST", `clients/${idle.client_id}/${count % 2 === 0 ? "suspend" : "resume"}`);
      count += 1;
      await sleep(Math.max(0, 1000 - (performance.now() - begun)));
    }
  };
  const running = run();
  return async () => {
    done = true;
    await running;
    if (count % 2 === 1) await admin("POST", `clients/${idle.client_id}/resume`);
    return count;
  };
}

/** More policies, each for one agent, until there are `policies`. */
export async function addPolicies({ admin, agents }, from, policies) {
  for (let i = from; i < policies; i += 1) {
    const cedar = `permit(principal == Client::"${agents[i % agents.length].client_id}", action == Action::"issue",
      resource in Resource::"${RESOURCE}") when { resource.name == "${SCOPE}" };`;
    await admin("PUT", `policies/agent-${i}`, { description: "One agent", cedar, mode: "enforce" });
    if (i % 1000 === 0) console.log(`  ${i} of ${policies} policies`);
  }
}

/** Fills the status list: `places` identities, of which one in a hundred is stopped. */
export async function addIdentities(running, places) {
  const database = await running.database();
  await database.prepare(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1),
      used(place) AS (SELECT coalesce(max(place), -1) FROM identities WHERE tenant = 'main')
    INSERT INTO identities (tenant, id, place, client, subject, registered_by, status, revoked_before, created_at, updated_at) SELECT 'main', 'bench_' || (place + i), place + i, 'bench_' || (place + i), 'bench_' || (place + i), 'client_credentials',
      CASE WHEN i % 100 = 0 THEN 'retired' ELSE 'active' END, 0, 0, 0 FROM n JOIN used`).bind(places).run();
}

/** Milliseconds in which the status list is made anew and answered. Each time is after a change, and after the second in which it is kept. */
export async function statusList({ running: { issuer }, url, admin, idle }, times) {
  await token(url, idle, grant); // and so it has a place
  const seen = [];
  let last;
  for (let i = 0; i < times; i += 1) {
    await admin("POST", `clients/${idle.client_id}/${i % 2 === 0 ? "suspend" : "resume"}`);
    await sleep(1_100);
    const begun = performance.now();
    const response = await fetch(`${issuer}/status-list`);
    const text = await response.text();
    seen.push(performance.now() - begun);
    if (!response.ok) throw new Error(`the status list answered ${response.status}: ${text}`);
    if (text === last) throw new Error("the status list was not made anew");
    last = text;
  }
  return seen;
}
