// What people's clients ask for: the page of a consent, codes redeemed, refresh tokens rotated; ours next to
// @cloudflare/workers-oauth-provider in the same Miniflare. What comes next depends on the answer before, so `wrk` cannot ask: sixteen
// loops in this process do, over kept connections.

import { createHash, randomBytes } from "node:crypto";
import { Agent, request as send } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { build as bundle } from "esbuild";
import { root } from "../../scripts/lib/miniflare.mjs";
import { cpuMillis } from "./load.mjs";

const LOOPS = 16;
const CALLBACK = "http://127.0.0.1/callback";
const VERIFIER = randomBytes(32).toString("base64url");
const CHALLENGE = createHash("sha256").update(VERIFIER).digest("base64url");
export const NOTES = "http://localhost:8010/mcp";

/** One exchange; the answer with its text. */
export function ask(agent, url, { method = "GET", headers = {}, form, body = form && new URLSearchParams(form).toString() } = {}) {
  const type = body && { "content-length": Buffer.byteLength(body), ...(form && { "content-type": "application/x-www-form-urlencoded" }) };
  return new Promise((done, failed) => {
    const call = send(url, { method, agent, headers: { ...headers, ...type } }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part) => (text += part)).on("end", () =>
        done({ status: answer.statusCode, headers: answer.headers, text }));
    });
    call.on("error", failed).end(body);
  });
}

export function expect(answer, status) {
  if (answer.status !== status) throw new Error(`${answer.status} instead of ${status}: ${answer.text.slice(0, 500)}`);
  return answer;
}

const percentile = (numbers, share) => numbers.toSorted((a, b) => a - b)[Math.ceil(numbers.length * share) - 1];

/** Runs `step(loop)` in every loop until the time is over, or until it answers false; how fast, and what it cost. */
export async function timed(pid, seconds, step, loops = LOOPS) {
  const [times, end, before, begun] = [[], performance.now() + seconds * 1000, cpuMillis(pid), performance.now()];
  await Promise.all(Array.from({ length: loops }, async (_, loop) => {
    while (performance.now() < end) {
      const asked = performance.now();
      if (await step(loop) === false) return;
      times.push(performance.now() - asked);
    }
  }));
  const took = (performance.now() - begun) / 1000;
  return { rate: times.length / took, p50: percentile(times, 0.5), p99: percentile(times, 0.99), cpu: (cpuMillis(pid) - before) / times.length };
}

const query = (client, more) => new URLSearchParams({
  response_type: "code",
  client_id: client,
  redirect_uri: CALLBACK,
  code_challenge: CHALLENGE,
  code_challenge_method: "S256",
  scope: "notes:read",
  state: "bench",
  ...more,
});

/** A server with a way to get codes for one client. */
class Contestant {
  constructor({ key, name, pid, token, client, code }) {
    Object.assign(this, { key, name, pid, token, client, code, agent: new Agent({ keepAlive: true, maxSockets: LOOPS }) });
  }

  form(fields) {
    return ask(this.agent, this.token, { method: "POST", form: { client_id: this.client, ...fields } });
  }

  redeem(code) {
    const form = { grant_type: "authorization_code", code, code_verifier: VERIFIER, redirect_uri: CALLBACK };
    return this.form(form).then((answer) => JSON.parse(expect(answer, 200).text));
  }

  refresh(refresh_token) {
    return this.form({ grant_type: "refresh_token", refresh_token }).then((answer) => JSON.parse(expect(answer, 200).text));
  }

  /** So many codes. */
  async codes(count) {
    const codes = [];
    await Promise.all(Array.from({ length: LOOPS }, async () => {
      while (codes.length < count) codes.push(await this.code(this.agent));
    }));
    return codes;
  }
}

/** What a browser does: `page(path, form)` with the cookies of the pages before. */
export function browser(origin) {
  const agent = new Agent({ keepAlive: true });
  const cookies = new Map();
  const page = async (path, form) => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const headers = { cookie, ...(form && { origin }) };
    const answer = await ask(agent, new URL(path, origin), { method: form ? "POST" : "GET", headers, form });
    for (const line of answer.headers["set-cookie"] ?? []) {
      const [, name, value, rest] = /^([^=]+)=([^;]*);(.*)$/.exec(line);
      if (rest.includes("Max-Age=0")) cookies.delete(name);
      else cookies.set(name, value);
    }
    return answer;
  };
  return Object.assign(page, { cookies });
}

/** The value of a field of a form. */
export const field = (text, name) => new RegExp(`name="${name}" value="([^"]*)"`).exec(text)[1];

/** Ours: the demonstration person has signed in and allowed the client, so that a request is answered with a code at once. */
export async function ours({ running: { issuer, origin }, pid, admin }, stand) {
  await admin("POST", "resources", { resource: NOTES, name: "Notes", scopes: [{ name: "notes:read", description: "Read your notes" }] });
  await admin("PUT", "policies/notes", {
    description: "What people allow",
    mode: "enforce",
    cedar: `permit(principal, action == Action::"issue", resource in Resource::"${NOTES}");`,
  });
  const { client_id: client } = await admin("POST", "clients", {
    client_name: "Notes app",
    grant_types: ["authorization_code", "refresh_token"],
    token_endpoint_auth_method: "none",
    redirect_uris: [CALLBACK],
  });
  const page = browser(origin);
  const first = expect(await page(`${issuer}/authorize?${query(client, { resource: NOTES })}`), 200);
  const back = expect(await page(`${issuer}/sign-in`, { provider: "demo", request: field(first.text, "request") }), 303);
  const asked = expect(await page(back.headers.location), 200);
  const form = { tag: field(asked.text, "tag"), scope: "notes:read", duration: "open", decision: "allow" };
  expect(await page(back.headers.location, form), 303);
  const session = [...page.cookies].filter(([, value]) => value.startsWith("writ_ss_")).map(([name, value]) => `${name}=${value}`).join();
  const code = async (keeper) => {
    const answer = await ask(keeper, `${issuer}/authorize?${query(client, { resource: NOTES })}`, { headers: { cookie: session } });
    return new URL(expect(answer, 303).headers.location).searchParams.get("code");
  };
  const contestant = new Contestant({ key: "writ", name: "Writ", pid, token: `${issuer}/token`, client, code });
  const consent = () => ask(contestant.agent, `${issuer}/authorize?${query(client, { resource: NOTES, prompt: "consent" })}`, { headers: { cookie: session } });
  // A client that nobody has registered: its document is asked for once, and then kept.
  stand.document = { client_name: "Notes app", redirect_uris: [CALLBACK], token_endpoint_auth_method: "none" };
  const stranger = `${stand.origin}/client.json`;
  const document = () => ask(contestant.agent, `${issuer}/authorize?${query(stranger, { resource: NOTES })}`, { headers: { cookie: session } });
  return { contestant, consent, document };
}

/** As many users, two consents and refresh families each; and clients register themselves, one a second, until it is told to end. */
export async function crowd({ running }, users) {
  const database = await running.database();
  const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)";
  const pairs = `${numbers}, m(k) AS (VALUES (1), (2))`;
  const body = JSON.stringify({ resource: NOTES, scope: "notes:read", redirect_host: "127.0.0.1", auth_time: 0, issued_at: 0 });
  await database.batch([
    `${numbers} INSERT INTO users (tenant, id, body, created_at, updated_at) SELECT 'main', 'user_' || i, '{"name":"Ada"}', 0, 0 FROM n`,
    `${pairs} INSERT INTO consents (tenant, id, user, client, redirect_host, resource, document, lines, created_at, updated_at)
       SELECT 'main', i || '_' || k, 'user_' || i, 'client_' || k, '127.0.0.1', '${NOTES}', '', '[{"scope":"notes:read"}]', 0, 0 FROM n, m`,
    `${pairs} INSERT INTO refresh_families (tenant, id, consent, client, user, body, rotated_at, expires_at)
       SELECT 'main', i || '_' || k, i || '_' || k, 'client_' || k, 'user_' || i, '${body}', 0, 99999999999 FROM n, m`,
  ].map((sql) => database.prepare(sql).bind(users)));
  await database.prepare(`UPDATE tenants SET settings = json_set(settings, '$.registration', json('{"dynamic":"open"}')), epoch = epoch + 1`).run();
  // Until every isolate knows that clients may register themselves.
  await sleep(6_000);
  let registered = 0;
  let refused = 0;
  const agent = new Agent({ keepAlive: false });
  const metadata = JSON.stringify({ client_name: "Notes app", redirect_uris: [CALLBACK], token_endpoint_auth_method: "none" });
  const register = () => {
    const headers = { "content-type": "application/json", "cf-connecting-ip": `198.51.100.${1 + (registered % 250)}` };
    return ask(agent, `${running.issuer}/register`, { method: "POST", headers, body: metadata });
  };
  const timer = setInterval(async () => {
    // Now and then a connection is dropped (docs/open.md): the client comes again.
    const answer = await register().catch(register).catch((error) => ({ status: String(error) }));
    if (answer.status === 201) registered += 1;
    else refused += 1;
  }, 1_000);
  return () => {
    clearInterval(timer);
    if (refused > 0 || registered === 0) throw new Error(`${registered} clients registered themselves, ${refused} were refused`);
    return registered;
  };
}

/** Theirs, as a Worker's modules for Miniflare. */
export async function theirs() {
  const outfile = join(root, "tests/bench/oauth-provider/build/index.js");
  await bundle({
    entryPoints: [join(root, "tests/bench/oauth-provider/worker.mjs")],
    outfile,
    bundle: true,
    format: "esm",
    target: "es2022",
    external: ["cloudflare:*"],
    logLevel: "error",
  });
  return outfile;
}

export async function comparison({ origin, pid }) {
  const agent = new Agent({ keepAlive: true });
  const body = JSON.stringify({ client_name: "Notes app", redirect_uris: [CALLBACK], token_endpoint_auth_method: "none" });
  const headers = { "content-type": "application/json" };
  const registered = await fetch(`${origin}/register`, { method: "POST", headers, body });
  if (!registered.ok) throw new Error(`the comparison registers no client: ${await registered.text()}`);
  const { client_id: client } = await registered.json();
  agent.destroy();
  const code = async (keeper) => {
    const answer = expect(await ask(keeper, `${origin}/authorize?${query(client, {})}`), 303);
    return new URL(answer.headers.location).searchParams.get("code");
  };
  return new Contestant({ key: "other", name: "workers-oauth-provider", pid, token: `${origin}/token`, client, code });
}

export const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Medians over the rounds, the contestants taking turns. */
export async function people({ contestants, consent, document, rounds, seconds, codes: count }) {
  const seen = new Map();
  const note = (key, name, result) => seen.set(key, { name, results: [...(seen.get(key)?.results ?? []), result] });
  for (let round = 1; round <= rounds; round += 1) {
    for (const contestant of contestants) {
      const codes = await contestant.codes(count);
      const redeemed = await timed(contestant.pid, 60, () => codes.length > 0 && contestant.redeem(codes.pop()));
      note(`${contestant.key} code`, `${contestant.name}: code redemption`, redeemed);
      const tokens = (await contestant.codes(LOOPS)).slice(0, LOOPS);
      for (const [loop, code] of tokens.entries()) tokens[loop] = (await contestant.redeem(code)).refresh_token;
      const refreshed = await timed(contestant.pid, seconds, async (loop) => {
        tokens[loop] = (await contestant.refresh(tokens[loop])).refresh_token;
      });
      note(`${contestant.key} refresh`, `${contestant.name}: refresh`, refreshed);
    }
    const [{ pid }] = contestants;
    note("writ consent", "Writ: authorize, consent page", await timed(pid, seconds, async () => { expect(await consent(), 200); }));
    const page = "Writ: authorize, consent page, client known by its document";
    note("writ document", page, await timed(pid, seconds, async () => { expect(await document(), 200); }));
  }
  return Object.fromEntries([...seen].map(([key, { name, results }]) => {
    const pick = (figure) => median(results.map((result) => result[figure]));
    return [key, { name, rate: pick("rate"), p50: pick("p50"), p99: pick("p99"), cpu: pick("cpu") }];
  }));
}
