// What the vault costs: calls through the proxy next to the same call without Writ, leases that have to get a token, credentials sealed and
// opened, and the memory of the process while large answers flow. The service is a stand-in in a thread of its own.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent, createServer, request as send } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker, isMainThread, parentPort } from "node:worker_threads";
import { ask, browser, expect, field, median, timed } from "./people.mjs";
import { form } from "./load.mjs";
import { RESOURCE, SCOPE, grant, token } from "./setup.mjs";

const SMALL = 1_024;
const [LARGE, LARGER] = [10, 40].map((megabytes) => megabytes * 1_024 * 1_024);
/** How many large answers flow at once, and how often. */
const FLOWS = 8;
const TIMES = 3;
const PAGE = 4_096;
/** In seconds: of a token that lives so briefly a service that keeps no refresh token is asked at each lease, and one that does once it is over. */
const LIFETIME = 1;
/** How many leases are timed that find the token before them over. */
const REFRESHES = 10;
const OVER_MS = 2_100;

if (!isMainThread) {
  // The service: answers of two sizes, and a token endpoint that rotates refresh tokens.
  const [small, piece] = [Buffer.alloc(SMALL, "x"), Buffer.alloc(64 * 1_024, "x")];
  let tokens = 0;
  const server = createServer((request, response) => {
    if (request.url === "/oauth/token") {
      const body = JSON.stringify({ access_token: `at-${tokens}`, refresh_token: `rt-${tokens}`, expires_in: LIFETIME, token_type: "Bearer" });
      tokens += 1;
      request.resume().on("end", () => response.writeHead(200, { "content-type": "application/json" }).end(body));
      return;
    }
    request.resume();
    let left = { "/api/large": LARGE, "/api/larger": LARGER }[request.url];
    if (left === undefined) return void response.writeHead(200, { "content-length": SMALL }).end(small);
    response.writeHead(200, { "content-length": left });
    const pour = () => {
      while (left > 0) {
        left -= piece.length;
        if (!response.write(piece)) return void response.once("drain", pour);
      }
      response.end();
    };
    pour();
  });
  server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port));
}

/** Starts the service. */
export async function service() {
  const thread = new Worker(fileURLToPath(import.meta.url));
  const [port] = await once(thread, "message");
  return { origin: `http://127.0.0.1:${port}`, close: () => thread.terminate() };
}

/** A Worker that passes calls on to the service and does nothing else. */
export const passage = (origin) =>
  `export default { fetch: (request) => fetch("${origin}" + new URL(request.url).pathname, { headers: request.headers }) };`;

/** Connections to the service, an agent that may call through one of them, and an account that an administrator has let a person connect. */
export async function connections({ running: { issuer, origin }, admin }, { origin: at }) {
  const api = `${issuer}/connections`;
  const described = {
    name: "Bench",
    oauth2: { authorization_endpoint: `${at}/oauth/authorize`, token_endpoint: `${at}/oauth/token`, refresh: "rotates" },
    proxy: { base_url: `${at}/api` },
  };
  const key = { kind: "api_key", config: { service: { proxy: described.proxy }, allow: [{ methods: ["GET"], path: "/*" }] }, secret: { api_key: "key-of-the-bench" } };
  await admin("PUT", "connections/called", key);
  await admin("PUT", "connections/fetched", {
    kind: "oauth2_client_credentials",
    config: { service: { oauth2: { token_endpoint: `${at}/oauth/token` } }, client_id: "writ", scopes: ["read"] },
    secret: { client_secret: "secret-of-the-bench" },
  });
  await admin("PUT", "connections/refreshed", {
    kind: "oauth2",
    config: { service: described, client_id: "writ", scopes: ["read"], owner: "tenant" },
    secret: { client_secret: "secret-of-the-bench" },
  });
  await admin("PUT", "policies/vault", { description: "The vault", mode: "enforce", cedar: "permit(principal, action == Action::\"lease\", resource);" });
  const caller = await admin("POST", "clients", {
    client_name: "caller",
    grant_types: ["client_credentials"],
    token_endpoint_auth_method: "client_secret_basic",
    tags: ["bench"],
    allowed_resources: [api],
  });
  await connect({ issuer, origin, admin });
  const seal = (n) => admin("PUT", `connections/sealed-${n}`, key);
  return { caller, api, seal, proxied: `${api}/called/proxy` };
}

/** A person signs in, and connects the account of the tenant. */
async function connect({ issuer, origin, admin }) {
  const page = browser(origin);
  const first = expect(await page(`${issuer}/connect/refreshed`), 200);
  expect(await page(`${issuer}/sign-in`, { provider: "demo", request: field(first.text, "request") }), 303);
  const { items: [{ id: user }] } = await admin("GET", "users");
  const { connect_url } = await admin("POST", "connections/refreshed/connect", { user });
  const asked = expect(await page(connect_url), 200);
  const going = expect(await page(`${issuer}/connect/refreshed`, { tag: field(asked.text, "tag"), request: field(asked.text, "request") }), 200);
  const to = new URL(going.headers.refresh.replace("0;url=", "")).searchParams;
  expect(await page(`${to.get("redirect_uri")}?state=${to.get("state")}&code=bench`), 200);
}

/** The whole answer, of which nothing is kept. */
function drained(agent, url, headers) {
  return new Promise((done, failed) => {
    let bytes = 0;
    const call = send(url, { agent, headers }, (answer) =>
      answer.on("data", (piece) => (bytes += piece.length)).on("error", failed).on("end", () => done(bytes)));
    call.on("error", failed).end();
  });
}

/** The bytes of memory that a process holds. */
const resident = (pid) => Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * PAGE;

/** What comes the first time, or else the second: now and then a connection is dropped (docs/open.md). */
const again = (step) => step().catch(step);

/** Large answers at once, several times over: bytes a second, and by how many bytes the process grows at the most. */
async function flows(pid, url, { size, times, headers }) {
  const agent = new Agent();
  const before = resident(pid);
  let peak = before;
  const watch = setInterval(() => (peak = Math.max(peak, resident(pid))), 10);
  const begun = performance.now();
  try {
    for (let time = 0; time < times; time += 1) {
      const bytes = await Promise.all(Array.from({ length: FLOWS }, () => again(() => drained(agent, url, headers))));
      if (bytes.some((one) => one !== size)) throw new Error(`large answers were cut: ${bytes}`);
    }
  } finally {
    clearInterval(watch);
  }
  return { rate: (times * FLOWS * size) / ((performance.now() - begun) / 1_000), grown: Math.max(0, peak - before) };
}

/** Medians over the rounds, one call at a time but where it says otherwise; and what flows. */
export async function vault({ writ, service: { origin: at }, passage: other, made, rounds, seconds }) {
  const { running: { issuer }, url, pid, server, agents: [agent] } = writ;
  const { proxied } = made;
  let [keeper, bearer, subject, sealed] = [undefined, "", "", 0];
  const called = async (url, headers) => { expect(await again(() => ask(keeper, url, { headers })), 200); };
  const lease = async (name) => {
    const { headers, body } = form(server, { subject_token: subject });
    return expect(await again(() => ask(keeper, `${issuer}/connections/${name}/token`, { method: "POST", headers, body })), 200);
  };
  const steps = [
    ["direct", "the service itself, 1 KB", process.pid, 1, () => called(`${at}/api/small`)],
    ["passage", "the same through a Worker that only passes it on", other.pid, 1, () => called(`${new URL(other.url).origin}/api/small`)],
    ["proxied", "Writ: through the proxy", pid, 1, () => called(`${proxied}/small`, { authorization: `Bearer ${bearer}` })],
    ["crowd", "Writ: through the proxy, sixteen at a time", pid, 16, () => called(`${proxied}/small`, { authorization: `Bearer ${bearer}` })],
    ["fetched", "Writ: lease with a fetch, its credential opened", pid, 1, () => lease("fetched")],
    ["sealed", "Writ: connection made, its credential sealed", pid, 1, () => made.seal(sealed += 1)],
  ];
  const seen = Object.fromEntries(steps.map(([key]) => [key, []]));
  for (let round = 0; round <= rounds; round += 1) {
    bearer = await token(url, made.caller, { ...grant, resource: made.api, scope: "connections:use" });
    subject = await token(url, agent, { ...grant, resource: RESOURCE, scope: SCOPE });
    for (const [key, , process, loops, step] of steps) {
      // Of its own for each: workerd closes connections on which nothing comes for a while.
      keeper = new Agent({ keepAlive: true });
      const result = await timed(process, round === 0 ? 0.5 : seconds, step, loops);
      keeper.destroy();
      if (round > 0) seen[key].push(result); // the first is a warm-up
    }
  }
  const calls = Object.fromEntries(steps.map(([key, name]) => {
    const pick = (figure) => median(seen[key].map((result) => result[figure]));
    return [key, { name, rate: pick("rate"), p50: pick("p50"), p99: pick("p99"), cpu: key === "direct" ? undefined : pick("cpu") }];
  }));
  const refreshes = [];
  const refreshed = new Set();
  keeper = new Agent();
  for (let n = 0; n < REFRESHES; n += 1) {
    await sleep(OVER_MS);
    const begun = performance.now();
    const { access_token } = JSON.parse((await lease("refreshed")).text);
    refreshes.push(performance.now() - begun);
    refreshed.add(access_token);
  }
  if (refreshed.size !== REFRESHES) throw new Error("leases that were to refresh their token had one that was kept");
  // What V8 needs for so many streams at once it needs with the first ones; what is held would grow with the answers.
  const headers = { authorization: `Bearer ${bearer}` };
  const large = await flows(pid, `${proxied}/large`, { size: LARGE, times: TIMES, headers });
  const larger = await flows(pid, `${proxied}/larger`, { size: LARGER, times: 1, headers });
  return { calls, refresh: median(refreshes), large, larger, flows: FLOWS, megabytes: [LARGE, LARGER].map((size) => size / 2 ** 20) };
}
