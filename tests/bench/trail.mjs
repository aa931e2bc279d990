// What the trail costs: tokens while every event is stored, in the log and sent to a sink; how far checkpoints are behind; proofs; a page of a large
// trail.

import { setTimeout as sleep } from "node:timers/promises";
import { build } from "../../scripts/lib/miniflare.mjs";
import { form, load } from "./load.mjs";
import { paced } from "./paced.mjs";
import { median } from "./people.mjs";
import { grant, token } from "./setup.mjs";

/** How long the queue and a sink may take to empty themselves. */
const DRAIN_MS = 120_000;
const LOOK_MS = 50;
/** How many events are made at once. */
const TOGETHER = 100_000;

const tokens = ({ agents }) => agents.map((agent) => form(agent, grant));

async function until(what, done) {
  const end = Date.now() + DRAIN_MS;
  while (!await done()) {
    if (Date.now() > end) throw new Error(`${what} after ${DRAIN_MS / 1000} s`);
    await sleep(LOOK_MS);
  }
}

/** How many events the newest checkpoint covers. */
async function covered({ issuer }) {
  const response = await fetch(`${issuer}/log/checkpoint`);
  const text = await response.text();
  return response.ok ? Number(text.split("\n")[1]) : 0;
}

/** How many events the log has, covered or not. */
const size = async (running) =>
  (await (await running.database("AUDIT_DB")).prepare("SELECT size FROM logs WHERE tenant = 'main'").first("size")) ?? 0;

const settled = async (running) => {
  await sleep(1_000); // what the queue has not handed over yet
  await until("the log has not come to rest", async () => await covered(running) === await size(running));
};

/** The rate of tokens whose events are stored, logged and sent to a sink by the same process, and of those whose events wait in the queue: medians of rounds that take turns. */
export async function recorded(one, starts, { sink, rounds, seconds }) {
  const rates = { without: [], with: [] };
  for (let round = 0; round < rounds; round += 1) {
    for (const [key, consume] of [["without", false], ["with", true]]) {
      const running = await starts(consume);
      try {
        const made = consume && await one.admin("POST", "sinks", { kind: "https", url: sink });
        await load(one.url, tokens(one), 1);
        const { rate } = await load(one.url, tokens(one), seconds);
        rates[key].push(rate);
        if (!consume) continue;
        await settled(running);
        await until("the sink has not taken everything", async () => (await one.admin("GET", `sinks/${made.id}/state`)).state === "current");
        await one.admin("DELETE", `sinks/${made.id}`);
      } finally {
        await running.stop();
      }
    }
  }
  return { without: median(rates.without), with: median(rates.with) };
}

/** Tokens come at a rate; how old an event has become at the most, in milliseconds, before a checkpoint covered it. */
export async function lag(one, running, { rate, seconds }) {
  await token(one.url, one.agents[0], grant);
  await settled(running);
  const before = await covered(running);
  const answered = [];
  let [longest, watching] = [0, true];
  const look = async () => {
    const first = answered[await covered(running) - before];
    if (first !== undefined) longest = Math.max(longest, performance.now() - first);
    return first === undefined;
  };
  const watch = (async () => {
    while (watching) {
      await look();
      await sleep(LOOK_MS);
    }
  })();
  const { failed } = await paced(one.url, tokens(one), rate, seconds, () => answered.push(performance.now()));
  watching = false;
  await watch;
  if (failed > 0) throw new Error(`${failed} of ${rate * seconds} tokens failed`);
  await until("the newest checkpoint does not cover everything", look);
  return { longest, rate, events: await covered(running) };
}

/** The bytes of the proof of one event, and milliseconds until it is verified (median), as `writ verify` does it. */
export async function proofs({ admin }, { issuer }, times) {
  const { items: [{ id }] } = await admin("GET", "events?type=token.issued&limit=1");
  const proof = await admin("GET", `events/${id}/proof`);
  const key = await (await fetch(`${issuer}/log/key`)).text();
  const { cli_verify: verify } = await import(`${build}/cli.mjs`);
  const seen = [];
  for (let i = 0; i < times; i += 1) {
    const begun = performance.now();
    const told = await verify(["proof", "--key=key"], ["proof", proof, "key", key]);
    seen.push(performance.now() - begun);
    if (!told.includes(id)) throw new Error(`the proof of ${id} says: ${told}`);
  }
  return { bytes: Buffer.byteLength(proof), verified: median(seen) };
}

/** The moment of a ULID in SQL: ten digits of Crockford's Base32. */
const ULID_TIME = Array.from({ length: 10 }, (_, digit) => `substr('0123456789abcdefghjkmnpqrstvwxyz', 1 + ((at >> ${45 - 5 * digit}) & 31), 1)`).join(" || ");

/** Events of a thousand clients, of four types, until there are so many: a second between two, one in ten refused. The first is at `start`, in milliseconds. */
async function addEvents(database, events, start) {
  for (let from = 0; from < events; from += TOGETHER) {
    await database.prepare(`WITH RECURSIVE n(i) AS (SELECT CAST(?1 AS INTEGER) + 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2),
        moments AS (SELECT i, CAST(?3 AS INTEGER) + i * 1000 AS at FROM n),
        made AS (SELECT i, at, ${ULID_TIME} || printf('%016d', i) AS id, 'client-' || (i % 1000) AS client, i % 10 = 0 AS refused,
          CASE i % 4 WHEN 0 THEN 'token.refused' WHEN 1 THEN 'token.issued' WHEN 2 THEN 'lease.issued' ELSE 'tool.called' END AS type FROM moments)
      INSERT INTO events (tenant, id, at, type, client, subject, refused, body) SELECT 'main', id, at, type, client, client, refused,
        json_object('id', id, 'tenant', 'main', 'at', at, 'type', type, 'request_id', id, 'client', client, 'subject', client,
          'reason', iif(refused, 'PolicyDenied', NULL), 'tool', iif(type = 'tool.called', 'tool-' || (i % 50), NULL),
          'connection', iif(type = 'lease.issued', 'connection-' || (i % 20), NULL)) FROM made`).bind(from, Math.min(from + TOGETHER, events), start).run();
    console.log(`  ${Math.min(from + TOGETHER, events)} of ${events} events`);
  }
}

/** Milliseconds of a page of a trail with so many events: of each question its median over some times, and of these the longest. */
export async function pages({ admin }, running, { events, times }) {
  const start = Date.now() - events * 1_000;
  await addEvents(await running.database("AUDIT_DB"), events, start);
  const [since, until] = [0.4, 0.6].map((share) => Math.round(start / 1_000 + events * share));
  const questions = [
    "", "client_id=client-7", "type=tool.called", "tool=tool-3", "connection=connection-6", "reason=PolicyDenied", "refused=true",
    "client_id=client-5&type=token.issued", `since=${since}&until=${until}`, `client_id=client-7&tool=tool-7&since=${since}&until=${until}`,
  ];
  let longest = 0;
  for (const question of questions) {
    const seen = [];
    for (let i = 0; i < times; i += 1) {
      const begun = performance.now();
      const { items } = await admin("GET", `events?limit=100&${question}`);
      seen.push(performance.now() - begun);
      if (items.length === 0) throw new Error(`no event for ${question}`);
    }
    longest = Math.max(longest, median(seen));
  }
  return { longest, events, questions: questions.length };
}
