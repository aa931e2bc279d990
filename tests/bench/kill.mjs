// How long a killed client still gets tokens: asked of the split deployment, where the Worker that issues learns of the kill from D1
// alone, as every other location does.

import { setTimeout as sleep } from "node:timers/promises";
import { start } from "../../scripts/lib/miniflare.mjs";
import { form } from "./load.mjs";
import { grant } from "./setup.mjs";

const KILLS = 100;
const AT_ONCE = 20;
/** The freshness bound of the deployment, and how much longer is watched. */
const BOUND_MS = 5_000;
const WATCH_MS = 2_000;
/** Between two requests of one client. */
const PAUSE_MS = 10;

const percentile = (numbers, share) => numbers.toSorted((a, b) => a - b)[Math.ceil(numbers.length * share) - 1];

/** Kills some of the agents while they ask for tokens; milliseconds from the answer to the call to the last token. */
export async function kills({ how, url, agents, admin }) {
  const running = await start({ ...how, split: true });
  try {
    const delays = [];
    let late = 0;
    for (let done = 0; done < KILLS; done += AT_ONCE) {
      const victims = agents.slice(-done - AT_ONCE, done === 0 ? undefined : -done);
      for (const result of await Promise.all(victims.map((victim, i) => kill({ url, victim, address: `192.0.2.${done + i + 1}`, admin })))) {
        delays.push(result.delay);
        late += result.late;
      }
    }
    return { count: delays.length, p50: percentile(delays, 0.5), p99: percentile(delays, 0.99), late, bound: BOUND_MS };
  } finally {
    await running.stop();
  }
}

async function kill({ url, victim, address, admin }) {
  let killed = Infinity;
  let last = 0;
  let late = 0;
  let tokens = 0;
  const asking = (async () => {
    while (performance.now() < killed + BOUND_MS + WATCH_MS) {
      const asked = performance.now();
      const answer = await fetch(url, form(victim, grant, { "cf-connecting-ip": address }));
      await answer.arrayBuffer();
      if (answer.ok) {
        tokens += 1;
        last = performance.now();
        if (asked > killed + BOUND_MS) late += 1;
      } else if (killed === Infinity) throw new Error(`a client that was not killed got ${answer.status}`);
      await sleep(PAUSE_MS);
    }
  })();
  const call = async () => {
    // Kills fall anywhere within the bound.
    await sleep(500 + Math.random() * BOUND_MS);
    await admin("POST", `clients/${victim.client_id}/kill`);
    killed = performance.now();
  };
  await Promise.all([asking, call()]);
  if (tokens === 0) throw new Error("a client got no token even before it was killed: nothing was measured");
  return { delay: Math.max(0, last - killed), late };
}
