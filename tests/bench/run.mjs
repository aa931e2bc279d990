// The benchmark's driver; scripts/bench builds what it needs and calls it. Everything runs in this machine's loopback, one contestant
// at a time and in turn, so that drift hits all alike; the figures are medians over the rounds.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Miniflare } from "miniflare";
import { build, freePort, modules, root, start } from "../../scripts/lib/miniflare.mjs";
import { bare, entry as bareEntry, storage as bareStorage } from "./bare.mjs";
import { kills } from "./kill.mjs";
import { approvals, govern } from "./govern.mjs";
import { cpuMillis, form, load, workerds } from "./load.mjs";
import { paced } from "./paced.mjs";
import { comparison as otherServer, crowd, median, ours, people, theirs } from "./people.mjs";
import { assertion, proof } from "./proofs.mjs";
import { print, save } from "./report.mjs";
import { addIdentities, addPolicies, changes, statusList } from "./scale.mjs";
import { exchange, google, grant, populate, token } from "./setup.mjs";
import { lag, pages, proofs, recorded } from "./trail.mjs";
import { connections, passage, service, vault } from "./vault.mjs";

const here = join(root, "tests/bench");
const { values: { quick } } = parseArgs({ options: { quick: { type: "boolean", default: false } } });

const ROUNDS = quick ? 2 : 5;
const SECONDS = quick ? 2 : 6;
const WARM_UP_SECONDS = quick ? 2 : 5;
const SMALL = { clients: 10, policies: 10 };
const LARGE = quick ? { clients: 1_000, policies: 100 } : { clients: 10_000, policies: 1_000 };
/** A directory for one change a second, policies for a cold isolate, identities for a status list. */
const HUGE = quick
  ? { clients: 2_000, policies: 200, identities: 2_000, users: 2_000 }
  : { clients: 100_000, policies: 10_000, identities: 100_000, users: 100_000 };
/** How long requests come at half of the full rate. */
const PACED_SECONDS = quick ? 3 : 20;
/** Starts and requests of the two measurements that need no load. */
const STARTS = 5;
const COUNTED = 200;
/** More than can be answered of what is signed anew for each request. */
const MOST_PER_SECOND = 2_000;
/** How long the queue may take to empty itself. */
const DRAIN_MS = 120_000;

/** The comparison's URL and process, once it runs. */
let oidc;
/** What to undo at the end, last first. */
const undo = [];

/** Some Worker in a Miniflare of its own. */
async function worker(options) {
  const mf = new Miniflare({ ...options, host: "127.0.0.1", port: 0, compatibilityDate: "2026-07-30" });
  undo.push(() => mf.dispose());
  const { result: { origin }, pid } = await spawning(() => mf.ready);
  return { url: `${origin}/token`, pid };
}

/** The limit: a Worker that signs and awaits one queue send. */
const limit = () => worker({ ...modules(join(here, "limit/build")), queueProducers: { AUDIT: "limit" } });

/** What the runtime itself costs on this machine: a Worker that does nothing. */
const empty = () => worker({ modules: true, script: "export default { fetch: () => new Response('{}') }" });

/** The comparison, in a process of its own. */
async function oidcProvider() {
  const port = await freePort();
  const child = spawn(process.execPath, [join(here, "oidc-provider/server.mjs"), String(port)], {
    env: { ...process.env, NODE_ENV: "production" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  undo.push(() => child.stdin.end());
  await new Promise((listening, failed) => {
    child.stdout.once("data", listening);
    child.once("exit", (code) => failed(new Error(`oidc-provider ended with ${code} before it listened`)));
  });
  return { url: `http://localhost:${port}/token`, pid: child.pid };
}

/**
 * A Writ with its own tenant. Like the limit's, its queue takes messages but has no consumer: storing events is another Worker's work,
 * and Miniflare's queue refuses messages when a consumer has fallen 10,000 behind.
 */
async function writ(size, stand) {
  const state = join(root, "target/bench", String(size.clients));
  await rm(state, { recursive: true, force: true });
  undo.push(() => rm(state, { recursive: true }));
  const how = { port: await freePort(), state, consume: false, vars: { DEV_OUTBOUND: [stand.origin, ...stand.others].join() } };
  const { result: running, pid } = await spawning(() => start(how));
  undo.push(() => running.stop());
  console.log(`making ${size.clients} clients and ${size.policies} policies`);
  return { how, running, pid, url: `${running.issuer}/token`, ...await populate(running, size, stand) };
}

/** Runs a step that starts a workerd, and says which process that is. */
async function spawning(step) {
  const before = workerds();
  const result = await step();
  const pid = workerds().find((one) => !before.includes(one));
  if (pid === undefined) throw new Error("no workerd was started: CPU time cannot be measured");
  return { result, pid };
}

/** Sends one request, to see what is wrong if something is, and then until every prepared one was sent and the time is over. */
async function warmUp({ url, prepare, once }) {
  const requests = await prepare(WARM_UP_SECONDS);
  const first = await fetch(url, requests[0]);
  if (!first.ok) throw new Error(`${url} answered ${first.status}: ${await first.text()}`);
  await first.arrayBuffer();
  const { rate, failed } = await load(url, once ? requests.slice(1) : requests, WARM_UP_SECONDS);
  const missing = requests.length - rate * WARM_UP_SECONDS;
  if (once || missing <= 0) return failed;
  return failed + (await load(url, requests, Math.ceil((2 * requests.length) / rate))).failed;
}

async function measure(contestants) {
  const unready = [];
  for (const contestant of contestants) unready.push(await warmUp(contestant));
  const seen = contestants.map(() => []);
  for (let round = 1; round <= ROUNDS; round += 1) {
    console.log(`round ${round} of ${ROUNDS}, about ${contestants.length * SECONDS} s`);
    for (const [i, { url, prepare, pid }] of contestants.entries()) {
      const requests = await prepare(SECONDS);
      const before = cpuMillis(pid);
      const result = await load(url, requests, SECONDS);
      seen[i].push({ ...result, cpu: (cpuMillis(pid) - before) / result.requests });
    }
  }
  return Object.fromEntries(contestants.map(({ key, name }, i) => {
    const pick = (figure) => median(seen[i].map((result) => result[figure]));
    const failed = seen[i].reduce((sum, result) => sum + result.failed, unready[i]);
    return [key, { name, rate: pick("rate"), p50: pick("p50"), p99: pick("p99"), cpu: pick("cpu"), failed }];
  }));
}

/** Milliseconds from the first token request to its answer, Miniflare just started over an existing state: median of some starts. */
async function firstRequest({ how, url, agents }, stand) {
  await fetch(stand.origin); // so that this process's own first request is not what is measured
  const times = [];
  for (let i = 0; i < STARTS; i += 1) {
    const running = await start(how);
    try {
      const begun = performance.now();
      await token(url, agents[0], grant);
      times.push(performance.now() - begun);
    } finally {
      await running.stop();
    }
  }
  return median(times);
}

/** The rate of (b) next to that of the large directory grown further, where something changes every second. */
async function whileChanging(small, large, contestant) {
  console.log(`growing to ${HUGE.clients} clients, with a change a second`);
  await large.grow(HUGE.clients);
  const end = changes(large);
  const results = await measure([
    contestant("writ", "(b)", small),
    contestant("huge", "(b) while the directory changes", large),
  ]);
  return { ...results, changes: await end() };
}

/** The rate of (b) next to that of a tenant with many people, where clients register themselves. */
async function amongPeople(small, large, contestant) {
  console.log(`${HUGE.users} users, two grants each, with a registration a second`);
  const end = await crowd(large, HUGE.users);
  const results = await measure([
    contestant("writ", "(b)", small),
    contestant("huge", "(b) among people", large),
  ]);
  return { ...results, registrations: end() };
}

/** What one policy more costs where there are many already: calls, and characters that are written. */
async function policyWrite({ how, agents }, admin) {
  const running = await start({ ...how, entry: join(here, "counted.js") });
  try {
    const calls = async () => (await fetch(`${running.origin}/calls`)).json();
    await addPolicies({ admin, agents }, HUGE.policies, HUGE.policies + 1);
    const before = await calls();
    await addPolicies({ admin, agents }, HUGE.policies + 1, HUGE.policies + 2);
    const after = await calls();
    return after.written - before.written;
  } finally {
    await running.stop();
  }
}

/** Workers in bare workerd, without Miniflare, whose queue and storage do nothing: Writ, the limit, and one that only answers. */
async function bareRuntime({ how: { state, vars, port }, agents, server }, comparison) {
  console.log("bare workerd");
  const keys = JSON.parse(readFileSync(join(state, "keys.json"), "utf8"));
  const databases = await bareStorage(state);
  undo.push(() => databases.close());
  const origin = `http://localhost:${port}`;
  const bindings = { ORIGIN: origin, ROLES: "all", FRESHNESS_SECONDS: "5", STORAGE: databases.url, ...vars, ...keys };
  const directory = (name) => join(root, "target/bench", name);
  await rm(directory("empty"), { recursive: true, force: true });
  await mkdir(directory("empty"), { recursive: true });
  await writeFile(join(directory("empty"), "index.js"), "export default { fetch: () => new Response('{}') };");
  const [writ, limited, nothing] = [
    await bare({ build, entry: bareEntry, bindings }),
    await bare({ build: join(here, "limit/build"), entry: bareEntry }),
    await bare({ build: directory("empty") }),
  ];
  undo.push(() => Promise.all([writ, limited, nothing].map((one) => one.stop())));
  const at = ({ origin, pid }, path) => ({ url: `${origin}${path}`, pid });
  const agent = agents[0];
  return measure([
    { key: "empty", name: "bare: an empty Worker", ...at(nothing, "/"), prepare: () => [form(comparison, {})] },
    { key: "limit", name: "bare: the limit", ...at(limited, "/token"), prepare: () => [form(comparison, {})] },
    { key: "writ", name: "bare: Writ, `client_credentials`", ...at(writ, "/t/main/token"), prepare: () => agents.map((one) => form(one, grant)) },
    {
      key: "lease",
      name: "bare: Writ, lease of a cached token",
      ...at(writ, "/t/main/connections/bigquery-read/token"),
      prepare: async () => [form(server, { subject_token: await token(`${writ.origin}/t/main/token`, agent, grant) })],
    },
    { key: "other", name: "(c) oidc-provider", ...oidc, prepare: () => [form(comparison, grant)] },
  ]);
}

/** Calls on D1 and KV: those of the first request, which shows that the counter counts, and those of many more on the warm isolate. */
async function storageCalls({ how, url, agents }) {
  const running = await start({ ...how, entry: join(here, "counted.js") });
  try {
    const calls = async () => (await fetch(`${running.origin}/calls`)).json();
    await token(url, agents[0], grant);
    const cold = await calls();
    for (let i = 0; i < COUNTED; i += 1) await token(url, agents[0], grant);
    const warm = await calls();
    if (cold.DB === 0) throw new Error("the counting run saw no D1 call on a cold isolate: it does not count");
    return { cold, warm: { DB: warm.DB - cold.DB, KV: warm.KV - cold.KV }, requests: COUNTED };
  } finally {
    await running.stop();
  }
}

/** The rate when the same process also stores every event, and how many seconds after the last request all of them were stored. */
async function stored({ how, url, agents }) {
  const running = await start({ ...how, consume: true });
  try {
    const database = await running.database("AUDIT_DB");
    const events = () => database.prepare("SELECT count(*) FROM events WHERE type = 'token.issued'").first("count(*)");
    const before = await events();
    const { rate, requests } = await load(url, agents.map((agent) => form(agent, grant)), SECONDS);
    const ended = Date.now();
    for (let seen = 0; seen < requests; seen = await events() - before) {
      if (Date.now() > ended + DRAIN_MS) throw new Error(`${requests} tokens were issued, but only ${seen} events were stored`);
      await sleep(100);
    }
    return { rate, seconds: (Date.now() - ended) / 1000 };
  } finally {
    await running.stop();
  }
}

/** What an explanation takes, and how fast a replay is, over the events that [`stored`] has left and many copies of them. */
async function governed(one) {
  const running = await start({ ...one.how, consume: true });
  try {
    return await govern(one, running, { times: COUNTED, decisions: quick ? 2_000 : 100_000, median });
  } finally {
    await running.stop();
  }
}

/** What the trail costs. The events of a large one come last: everything after them would be slower. */
async function trails(one, api) {
  console.log("the trail");
  const starts = (consume) => start({ ...one.how, consume });
  const rates = await recorded(one, starts, { sink: `${api.origin}/sink`, rounds: Math.min(ROUNDS, 3), seconds: SECONDS });
  const running = await starts(true);
  try {
    return {
      rates,
      lag: await lag(one, running, { rate: 500, seconds: PACED_SECONDS }),
      proof: await proofs(one, running, COUNTED),
      approval: await approvals(one, { agents: quick ? 5 : 50, median }),
      pages: await pages(one, running, { events: quick ? 20_000 : 1_000_000, times: 20 }),
    };
  } finally {
    await running.stop();
  }
}

/** The other ways to get a token, and to ask about one. What is for single use is signed anew for every request. */
function agents({ url, pid, agents: [agent], server, signer, key, delegate, running: { issuer } }) {
  const fresh = (make) => (seconds) => Array.from({ length: MOST_PER_SECOND * seconds }, make);
  const own = (client) => token(url, client, grant);
  return [
    {
      key: "signed",
      name: "(e) Writ, `private_key_jwt`",
      url,
      pid,
      once: true,
      prepare: fresh(() => form({}, { ...grant, ...assertion(signer.client_id, issuer, key) })),
    },
    {
      key: "exchanged",
      name: "(f) Writ, token exchange with an actor",
      url,
      pid,
      prepare: async () =>
        [form(delegate, { ...exchange, subject_token: await own(agent), actor_token: await own(delegate) })],
    },
    {
      key: "bound",
      name: "(g) Writ, DPoP-bound `client_credentials`",
      url,
      pid,
      once: true,
      prepare: fresh(() => form(agent, grant, { dpop: proof(url, key) })),
    },
    {
      key: "introspected",
      name: "(h) Writ, introspection",
      url: `${issuer}/introspect`,
      pid,
      prepare: async () => [form(server, { token: await own(agent) })],
    },
  ];
}

/** What people's clients ask for, of Writ and of the comparison in the same Miniflare. */
async function peoplesClients(small, stand) {
  console.log("people's clients");
  const { contestant, consent, document } = await ours(small, stand);
  const bundled = { modules: true, scriptPath: await theirs(), kvNamespaces: ["OAUTH_KV"], compatibilityFlags: ["global_fetch_strictly_public"] };
  const { url, pid } = await worker(bundled);
  const other = await otherServer({ origin: new URL(url).origin, pid });
  return people({ contestants: [contestant, other], consent, document, rounds: ROUNDS, seconds: SECONDS, codes: quick ? 200 : 1_000 });
}

/** What the vault costs. */
async function vaults(small, api) {
  console.log("the vault");
  const other = await worker({ modules: true, script: passage(api.origin) });
  const made = await connections(small, api);
  return vault({ writ: small, service: api, passage: other, made, rounds: Math.min(ROUNDS, 3), seconds: SECONDS / 2 });
}

async function run() {
  if (loadavg()[0] > 0.5) console.warn("this machine is busy with something else: the figures will be worse than they should");

  const stand = await google();
  undo.push(() => stand.close());
  const api = await service();
  undo.push(() => api.close());
  stand.others = [api.origin];
  const small = await writ(SMALL, stand);
  const large = await writ(LARGE, stand);
  const comparison = { client_id: "bench", client_secret: "bench-secret" };
  const spread = ({ agents }) => agents.map((agent) => form(agent, grant));
  oidc = await oidcProvider();
  const contestant = (key, name, one) => ({ key, name, url: one.url, pid: one.pid, prepare: () => spread(one) });
  const contestants = [
    { key: "limit", name: "(a) the limit", ...await limit(), prepare: () => [form(comparison, {})] },
    contestant("writ", "(b) Writ, `client_credentials`", small),
    { key: "other", name: "(c) oidc-provider", ...oidc, prepare: () => [form(comparison, grant)] },
    {
      key: "lease",
      name: "(d) Writ, lease of a cached token",
      url: small.lease,
      pid: small.pid,
      prepare: async () => [form(small.server, { subject_token: await token(small.url, small.agents[0], grant) })],
    },
    contestant("large", `(b) with ${LARGE.clients} clients, ${LARGE.policies} policies`, large),
    ...agents(small),
    { key: "empty", name: "an empty Worker", ...await empty(), prepare: () => [form(comparison, {})] },
  ];
  const results = await measure(contestants);
  if (stand.exchanges !== 1) throw new Error(`the leases were not cached: ${stand.exchanges} exchanges instead of 1`);
  console.log("half of the full rate");
  const half = {};
  for (const { key, url, prepare } of contestants.filter(({ key }) => ["limit", "writ", "empty"].includes(key))) {
    half[key] = await paced(url, await prepare(), results.writ.rate / 2, PACED_SECONDS);
  }
  const persons = await peoplesClients(small, stand);
  const leased = await vaults(small, api);
  const changing = await whileChanging(small, large, contestant);
  const crowded = await amongPeople(small, large, contestant);
  console.log("a status list");
  await addIdentities(large.running, HUGE.identities);
  const list = median(await statusList(large, STARTS));
  console.log("many policies");
  await addPolicies(large, LARGE.policies, HUGE.policies);
  for (const { running } of [small, large]) await running.stop();
  console.log("first requests and storage calls");
  const first = { small: await firstRequest(small, stand), large: await firstRequest(large, stand) };
  const written = await policyWrite(large, large.admin);
  const storage = await storageCalls(small);
  const audit = await stored(small);
  const governing = await governed(small);
  const runtime = await bareRuntime(small, comparison);
  console.log("kills, about two minutes");
  const killed = await kills(large);
  const trail = await trails(small, api);
  const [sizes, method] = [{ SMALL, LARGE, HUGE }, { ROUNDS, SECONDS, STARTS, PACED_SECONDS }];
  return { results, half, persons, leased, changing, crowded, list, first, written, storage, audit, governing, runtime, killed, trail, sizes, method };
}

try {
  const measured = await run();
  const reached = print(measured);
  if (!quick) save(measured);
  process.exitCode = reached ? 0 : 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  for (const step of undo.reverse()) await step();
}
