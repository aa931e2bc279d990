// The long-running part of scripts/dev: starts Writ in Miniflare as wrangler.toml describes it, migrates, seeds, says when it is
// ready, and takes everything down again. Miniflare is the simulator inside `wrangler dev`; driven directly it starts in a second
// instead of several, fires the cron, joins the Workers of the split by their service bindings, and never looks for the network.

import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { firstAdmin, root, start } from "./miniflare.mjs";
import { end, isFree, note, serving } from "./processes.mjs";
import { seed } from "./seed.mjs";

const DEADLINE_MS = 120_000;
/** Where the examples listen: the stand-in for Google, and the services of examples/connections. */
const EXAMPLES = ["http://127.0.0.1:9010", "http://127.0.0.1:9020"];
const split = process.argv.includes("--split");
const port = Number(process.env.WRIT_PORT || 8787);
const state = resolve(process.env.WRIT_STATE || join(root, ".writ"));
const ready = join(state, "dev.json");
const demo = join(state, "demo.json");
const workerd = join(state, "workerd.json");

async function main() {
  if (!(port > 0 && port < 65536)) throw new Error(`WRIT_PORT is ${process.env.WRIT_PORT}: it must be a port between 1 and 65535`);
  mkdirSync(state, { recursive: true });
  chmodSync(state, 0o700);
  const origin = `http://localhost:${port}`;
  const known = existsSync(demo) ? JSON.parse(readFileSync(demo, "utf8")) : undefined;
  if (known && known.origin !== origin) {
    throw new Error(`${state} belongs to ${known.origin}: set WRIT_PORT to that port, or WRIT_STATE to another directory`);
  }
  const dev = await end(workerd);
  if (dev) throw new Error(`${state} is in use: scripts/dev, process ${dev}, serves it already`);
  await portIsFree();
  const { STEPS: last } = process.env;
  console.error(`${last ? `${last}/${last}  ` : ""}Starting Writ${known ? "" : ", with a demonstration tenant"} …`);
  const notReady = () => [ready, workerd].forEach((file) => rmSync(file, { force: true }));
  notReady();
  process.on("exit", notReady);

  // Before anything runs, the signal would end the process.
  let writ;
  process.on("SIGUSR2", () => writ?.tick());
  writ = await start({
    port,
    state,
    split,
    beside: neighbours(process.env.WRIT_DEV_WITH),
    vars: { DEV_OUTBOUND: outbound(process.env.WRIT_DEV_OUTBOUND) },
  });
  note(workerd, port);
  // Miniflare's own handlers would end the process before anything is tidied up.
  const stopped = new Promise((done) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.removeAllListeners(signal).on(signal, done);
  });
  try {
    await Promise.race([stopped, prepare(writ, known)]);
    await stopped;
  } finally {
    await writ.stop();
  }
}

/** The origins on this machine that Writ may call: those of the examples, and what is named besides. */
function outbound(text) {
  const named = (text || "").split(",").map((origin) => origin.trim()).filter(Boolean);
  return [...new Set([...EXAMPLES, ...named])].join(",");
}

/** `FOLDER=PORT`, comma-separated: other Workers, with a wrangler.toml each, that name Writ among their services. */
function neighbours(text) {
  return (text || "").split(",").filter(Boolean).map((one) => {
    const [, folder, port] = /^(.+)=(\d{1,5})$/.exec(one) ?? [];
    if (!folder || !existsSync(join(resolve(root, folder), "wrangler.toml"))) {
      throw new Error(`WRIT_DEV_WITH has ${one}: it takes FOLDER=PORT, and a wrangler.toml in the folder`);
    }
    return { folder: resolve(root, folder), port: Number(port) };
  });
}

async function prepare(writ, known) {
  await writ.migrate();
  let admin = known?.admin;
  if (!admin) {
    admin = await firstAdmin(await writ.database(), writ.origin);
    write(demo, { origin: writ.origin, admin });
  }
  await healthy(writ.origin);
  const answer = await seed({ origin: writ.origin, admin, known, save: (partial) => write(demo, partial) });
  write(ready, answer);
  console.log(summary(answer));
}

/** Asks /health until it answers well, or the deadline has passed. */
async function healthy(origin) {
  const deadline = Date.now() + DEADLINE_MS;
  for (let last; ; await new Promise((done) => setTimeout(done, 100))) {
    try {
      const answer = await fetch(`${origin}/health`);
      last = `${answer.status} ${await answer.text()}`;
      if (answer.ok) return;
    } catch (error) {
      last = error.cause?.message ?? error.message;
    }
    if (Date.now() > deadline) throw new Error(`${origin}/health was not well within ${DEADLINE_MS / 1000} s: ${last}`);
  }
}

async function portIsFree() {
  if (await isFree(port)) return;
  const { pid } = serving(port) ?? {};
  const stop = pid ? `it is workerd, process ${pid}, of another scripts/dev: stop that` : "stop what listens there";
  throw new Error(`Port ${port} is taken: ${stop}, or set WRIT_PORT (and WRIT_STATE) to others`);
}

/** Readers see a whole file or none; it holds client secrets, so only the owner may read it. */
function write(file, content) {
  writeFileSync(`${file}.new`, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

function summary({ issuer, agents, resources }) {
  const [agent] = agents;
  return `
Writ is ready after ${(performance.now() / 1000).toFixed(1)} s${split ? ", as four Workers" : ""}.

  issuer    ${issuer}
  resource  ${resources[0]}
  agents    ${agents.map(({ name }) => name).join(", ")}
  people    ${issuer}/me: what the demonstration person has connected
  details   ${ready} (client secrets of this demonstration)

A token for ${agent.name}:

  curl -s ${issuer}/token \\
    -u '${agent.client_id}:${agent.client_secret}' \\
    -d grant_type=client_credentials -d resource=${resources[0]} -d scope=${agent.scope}

${journeys(resources[1])}Ctrl-C stops it.`;
}

/** How the journeys with people are tried, where the examples are: a package has none. */
function journeys(resource) {
  if (!existsSync(join(root, "examples/mcp-server/server.py"))) return "";
  const where = state === join(root, ".writ") ? "" : `WRIT_STATE='${state}' `;
  return `An MCP server for people, in a second terminal, in ${root}:

  scripts/setup python && ${where}.venv/bin/python examples/mcp-server/server.py

and a client of it, in a third:

  npx mcp-remote ${resource}

An agent that uses a chat and a code host for a person, in a terminal there, too:

  scripts/setup python && ${where}.venv/bin/python examples/connections/agent.py --dev

`;
}

main().then(() => process.exit(0), (error) => {
  // fetch says only that it failed; its cause says why.
  console.error(`\x1b[31m${error.cause ? `${error.message}: ${error.cause.message}` : error.message}\x1b[0m`);
  process.exit(1);
});
