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

const spread = ({ p50, p99 }) => (p99 / p50).toFixed(2);

/** Each: what, the value in words, the target in words, reached or not. */
function targets({ results, first, storage, killed, sizes: { SMALL, LARGE } }) {
  const ours = Object.entries(results).filter(([key]) => !["limit", "other", "empty"].includes(key));
  const failed = ours.reduce((sum, [, { failed }]) => sum + failed, 0);
  const { limit, writ, large, empty } = results;
  const share = writ.rate / limit.rate;
  const tail = writ.p99 / writ.p50;
  const scale = large.rate / writ.rate;
  const calls = `D1 ${storage.warm.DB}, KV ${storage.warm.KV}`;
  const larger = `${count(LARGE.clients)} clients and ${count(LARGE.policies)} policies / ${SMALL.clients} and ${SMALL.policies}`;
  return [
    ["Throughput, (b) / (a)", share.toFixed(2), "≥ 0.60", share >= 0.6],
    ["p99 / p50 of (b)", `${tail.toFixed(2)} (of (a): ${spread(limit)}, of an empty Worker: ${spread(empty)})`, "≤ 3.00", tail <= 3],
    [`Throughput of (b), ${larger}`, scale.toFixed(2), "≥ 0.80", scale >= 0.8],
    ["Failed requests of (a) / of Writ", `${limit.failed} / ${failed}`, "none", failed === 0],
    ["First request after start", ms(first.small), "≤ 100 ms", first.small <= 100],
    [`Tokens of ${killed.count} killed clients after ${killed.bound / 1000} s`, count(killed.late), "none", killed.late === 0],
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

function markdown(measured) {
  const { first, storage, audit, killed, sizes: { LARGE }, method: { ROUNDS, SECONDS, STARTS } } = measured;
  const verdicts = targets(measured).map(([what, value, target, reached]) => [what, value, target, reached ? "yes" : "**no**"]);
  return `${facts().map((fact) => `- ${fact}`).join("\n")}

${figures(measured)}

${table(["target", "measured", "wanted", "reached"], verdicts)}

One \`wrk\` thread keeps sixteen connections busy over loopback: ${ROUNDS} rounds of ${SECONDS} s each after a warm-up, the contestants
taking turns within a round; figures are medians over the rounds. A request whose connection the server closes counts as failed, in the warm-up too.
CPU time is that of the whole serving process, as the kernel counts it.

(a), (b) and (d) run in the same Miniflare version, each in a \`workerd\` of its own. Their queue takes the messages and has no
consumer, as storing them is another Worker's work. When the same process also stores every event in D1, (b) answers
${count(audit.rate)} requests/s, and the last event is stored ${audit.seconds.toFixed(1)} s after the last answer. The requests of (b) go to all its clients in turn.

The first request is the median of ${STARTS} starts over an existing database. With ${count(LARGE.clients)} clients and ${count(LARGE.policies)} policies, all of
which are parsed then, it takes ${ms(first.large)}. Storage calls are counted by an entry module that wraps the D1 and KV
bindings; the first request of that isolate used them ${storage.cold.DB} and ${storage.cold.KV} times.

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
