// What was measured, in words: the table, the targets and whether they are reached, on the terminal and in docs/performance.md.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, root } from "../../scripts/lib/miniflare.mjs";

const BEGIN = "<!-- measured by scripts/bench -->";
const END = "<!-- end of what scripts/bench measured -->";

const count = (number) => Math.round(number).toLocaleString("en");
const ms = (number) => `${number.toFixed(1)} ms`;

/** Each: what, the value in words, the target in words, reached or not. */
function targets({ results, half, persons, leased, changing, crowded, list, first, storage, governing, runtime, killed, trail, sizes: { SMALL, LARGE, HUGE } }) {
  const ours = [results, changing, crowded].flatMap((some) => Object.entries(some))
    .filter(([key, { failed }]) => failed !== undefined && !["limit", "other", "empty"].includes(key));
  const failed = ours.reduce((sum, [, { failed }]) => sum + failed, half.writ.failed);
  const { limit, writ, large, signed, exchanged, introspected } = results;
  const share = (one, other) => one.rate / other.rate;
  const atLeast = (what, value, least) => [what, value.toFixed(2), `≥ ${least.toFixed(2)}`, value >= least];
  const atMost = (what, value, most, unit = " ms", digits = 1) =>
    [what, `${value.toFixed(digits)}${unit}`, `≤ ${most}${unit}`, value <= most];
  const calls = `D1 ${storage.warm.DB}, KV ${storage.warm.KV}`;
  const tail = ({ p50, p99 }) => `${(p99 / p50).toFixed(1)} (${ms(p99)} / ${ms(p50)})`;
  const tails = `${tail(half.writ)}; of (a): ${tail(half.limit)}; of an empty Worker: ${tail(half.empty)}`;
  const beside = `${SMALL.clients} and ${SMALL.policies}`;
  const { calls: { direct, passage, proxied }, larger, flows, megabytes: [few, most] } = leased;
  const times = (proxied.p50 / passage.p50).toFixed(1);
  const passed = `${times} (${ms(proxied.p50)} / ${ms(passage.p50)}; the service itself: ${ms(direct.p50)})`;
  return [
    atLeast("(b) / (a)", share(writ, limit), 0.85),
    atMost("CPU per token of (b), beyond (a)", writ.cpu - limit.cpu, 0.18, " ms", 2),
    atLeast("Introspection / (a)", share(introspected, limit), 0.6),
    atLeast("Lease of a cached token / (a)", share(results.lease, limit), 0.75),
    ["Call of 1 KB through the proxy / through a Worker that only passes it on, p50", passed, "≤ 3.0", proxied.p50 <= 3 * passage.p50],
    atMost(`Growth of the process while ${flows} answers of ${most} MB flow at once, after ${flows} of ${few} MB`, larger.grown / 2 ** 20, (flows * most) / 4, " MB", 0),
    atLeast("Token exchange / (a)", share(exchanged, limit), 0.7),
    atLeast("`private_key_jwt` / (a)", share(signed, limit), 0.4),
    atLeast(`(b), ${count(LARGE.clients)} clients and ${count(LARGE.policies)} policies / ${beside}`, share(large, writ), 0.95),
    atLeast(`(b), ${count(HUGE.clients)} clients and one change a second / ${beside}`, share(changing.huge, changing.writ), 0.9),
    atLeast(`(b), ${count(HUGE.users)} users with two grants each and one registration a second / ${beside}`, share(crowded.huge, crowded.writ), 0.9),
    atLeast("Bare workerd: (b) / oidc-provider", share(runtime.writ, runtime.other), 0.8),
    atLeast("Code redemption / workers-oauth-provider", share(persons["writ code"], persons["other code"]), 1),
    atLeast("Refresh / workers-oauth-provider", share(persons["writ refresh"], persons["other refresh"]), 1),
    ["p99 / p50 of (b) at half of its rate", tails, "≤ 5.00", half.writ.p99 <= 5 * half.writ.p50],
    ["Failed requests of (a) / of Writ", `${limit.failed} / ${failed}`, "none", failed === 0],
    atMost("First request of a cold isolate", first.small, 60),
    atMost(`The same with ${count(HUGE.policies)} policies`, first.large, 90),
    atMost(`A new status list of ${count(HUGE.identities)} identities`, list, 20),
    [`Tokens of ${killed.count} killed clients after ${killed.bound / 1000} s`, count(killed.late), "none", killed.late === 0],
    atMost("An explanation, ten policies, over HTTP", governing.explain, 5),
    atMost(`${count(governing.decisions)} decisions replayed with a change`, governing.decisions / governing.replay, 60, " s"),
    atLeast("Tokens, their events stored, logged and sent to a sink by the same process / not", trail.rates.with / trail.rates.without, 0.95),
    atMost(`A checkpoint covers an event after, at ${trail.lag.rate} events/s`, trail.lag.longest / 1_000, 10, " s"),
    atMost(`A page of ${count(trail.pages.events)} events, whatever is asked for`, trail.pages.longest, 50),
    [`Storage calls of ${storage.requests} warm requests`, calls, "none", storage.warm.DB + storage.warm.KV === 0],
  ];
}

const version = (name) => JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8")).version;

function facts() {
  const wasm = gzipSync(readFileSync(join(build, "index_bg.wasm")), { level: 9 }).length;
  const rustc = execFileSync("rustc", ["--version"], { encoding: "utf8" }).split(" ")[1];
  const tools = ["workerd", "miniflare", "oidc-provider"].map((name) => `${name} ${version(name)}`);
  return [
    `Date: ${new Date().toISOString().slice(0, 10)}`,
    `Machine: ${cpus().length} cores (${cpus()[0].model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GB of memory`,
    `Versions: ${[...tools, `node ${process.versions.node}`, `rustc ${rustc}`].join(", ")}`,
    `The Worker's WebAssembly: ${count(wasm / 1024)} KB compressed with gzip`,
  ];
}

function table(head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function figures({ results }) {
  const rows = Object.values(results).map(({ name, rate, p50, p99, cpu }) =>
    [name, count(rate), ms(p50), ms(p99), `${cpu.toFixed(2)} ms`, (rate / results.limit.rate).toFixed(2), (rate / results.other.rate).toFixed(2)]);
  return table(["what", "requests/s", "p50", "p99", "CPU per request", "/ (a)", "/ (c)"], rows);
}

function persons({ persons }) {
  const rows = Object.values(persons).map(({ name, rate, p50, p99, cpu }) => [name, count(rate), ms(p50), ms(p99), `${cpu.toFixed(2)} ms`]);
  return table(["what", "requests/s", "p50", "p99", "CPU per request"], rows);
}

function vault({ leased: { calls } }) {
  const rows = Object.values(calls).map(({ name, rate, p50, p99, cpu }) =>
    [name, count(rate), ms(p50), ms(p99), cpu === undefined ? "" : `${cpu.toFixed(2)} ms`]);
  return table(["what", "requests/s", "p50", "p99", "CPU per request"], rows);
}

function bare({ runtime }) {
  const rows = Object.values(runtime).map(({ name, rate, p50, p99, cpu }) =>
    [name, count(rate), ms(p50), ms(p99), `${cpu.toFixed(2)} ms`, (rate / runtime.other.rate).toFixed(2)]);
  return table(["what", "requests/s", "p50", "p99", "CPU per request", "/ (c)"], rows);
}

function markdown(measured) {
  const { half, changing, first, written, storage, audit, killed, leased, trail, governing } = measured;
  const { sizes: { LARGE, HUGE }, method: { ROUNDS, SECONDS, STARTS, PACED_SECONDS } } = measured;
  const verdicts = targets(measured).map(([what, value, target, reached]) => [what, value, target, reached ? "yes" : "**no**"]);
  return `${facts().map((fact) => `- ${fact}`).join("\n")}

${figures(measured)}

${table(["target", "measured", "wanted", "reached"], verdicts)}

One \`wrk\` thread keeps sixteen connections busy over loopback: ${ROUNDS} rounds of ${SECONDS} s each after a warm-up, the contestants
taking turns within a round; figures are medians over the rounds. A request whose connection the server closes counts as failed, in the warm-up too.
CPU time is that of the whole serving process, as the kernel counts it. At half of its rate, (b) (and (a), and the empty Worker) gets a request every
${(1000 / half.writ.rate).toFixed(1)} ms for ${PACED_SECONDS} s, whether the one before was answered or not, and each is timed from when it was due.

(a), (b) and (d) run in the same Miniflare version, each in a \`workerd\` of its own. Their queue takes the messages and has no
consumer, as storing them is another Worker's work. When the same process also stores every event in D1, (b) answers
${count(audit.rate)} requests/s, and the last event is stored ${audit.seconds.toFixed(1)} s after the last answer. The requests of (b) go to all its clients in turn.

What people's clients ask for, next to \`@cloudflare/workers-oauth-provider\` in the same Miniflare; sixteen loops in one Node process ask, each
the next time once it is answered. Ours decides by policy, writes to D1, and records an event; theirs writes to KV:

${persons(measured)}

The vault, one call after another but where it says otherwise, with a stand-in for the service on the same machine. A call through the proxy is decided by
policy and leaves two events. Each of the last two writes to D1 and reads or writes KV. A lease that finds its token over asks the service twice, as its refresh tokens
rotate, and writes twice to D1: it takes ${leased.refresh.toFixed(1)} ms (median):

${vault(measured)}

${leased.flows} answers of ${leased.megabytes[0]} MB at once, three times over, come through the proxy with ${count(leased.large.rate / 2 ** 20)} MB/s together. Meanwhile the resident memory of
the whole \`workerd\` process, as the kernel counts it every 10 ms, grows by ${count(leased.large.grown / 2 ** 20)} MB at the most: what V8 has not collected yet, Miniflare's own Workers, and
buffers of sockets are in it. Answers that were held would make it grow with their size: with ${leased.flows} answers of ${leased.megabytes[1]} MB it grows by ${count(leased.larger.grown / 2 ** 20)} MB more.

In workerd alone, without Miniflare, queue and storage do nothing and stand in the same process:

${bare(measured)}

With ${count(HUGE.clients)} clients, ${count(LARGE.clients)} of them ask in turn, and ${count(changing.changes)} changes were made meanwhile, one a second: a client that
nobody asks for was suspended or resumed. The status list is asked for by HTTP, after a change; the time is that of the whole answer, signature included.

The first request is the median of ${STARTS} starts over an existing database: Miniflare has started, and no request was made. The statements that can
have a say in it are parsed then. Storage calls are counted by an entry module that wraps the D1 and KV
bindings; the first request of that isolate used them ${storage.cold.DB} and ${storage.cold.KV} times. One policy more, where there are ${count(HUGE.policies)} already,
writes ${count(written / 1024)} KB to D1 and KV.

Tokens come with ${count(trail.rates.with)} requests/s while the same process stores each event, puts it in the log and sends it to a sink, and with
${count(trail.rates.without)} while the queue keeps the events. The log then has ${count(trail.lag.events)} events. The proof of one of them takes ${count(trail.proof.bytes)} bytes and
${ms(trail.proof.verified)} to verify (median, \`writ verify\` in Node without its start). A replay decides ${count(governing.replay)} recorded decisions a second anew. A token that a person has to
approve takes ${ms(trail.approval)}: the request, the decision by the admin API, and the request again. The page of the large trail has 100 events, asked for over HTTP; of
${trail.pages.questions} questions (by client, type, tool, connection, reason, period, and several together) the slowest counts.

${killed.count} clients were killed while they asked for tokens without a pause, in the split deployment, where the Worker that issues
learns of a kill from D1 alone. From the answer to the call to the last token it took ${ms(killed.p50)} (p50) and ${ms(killed.p99)} (p99);
the promised bound is ${killed.bound / 1000} s.`;
}

/** Prints the report; answers whether every target is reached. */
export function print(measured) {
  console.log(`\n${markdown(measured)}\n`);
  const missed = targets(measured).filter(([, , , reached]) => !reached);
  for (const [what, value, target] of missed) console.error(`target missed: ${what} is ${value}, wanted ${target}`);
  return missed.length === 0;
}

/** Puts the report between the markers of docs/performance.md, and its first table between those of the README. */
export function save(measured) {
  put("docs/performance.md", markdown(measured));
  put("README.md", figures(measured));
  console.log("written to docs/performance.md and README.md");
}

function put(name, text) {
  const file = join(root, name);
  const page = existsSync(file) ? readFileSync(file, "utf8") : `# Performance\n\n${BEGIN}\n${END}\n`;
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`${name} needs the lines "${BEGIN}" and "${END}" around the figures`);
  writeFileSync(file, `${before}${BEGIN}\n\n${text}\n\n${END}${after}`);
}
