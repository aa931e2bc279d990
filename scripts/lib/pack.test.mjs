// The package of scripts/pack serves and deploys where there is no repository and no Rust. Run by scripts/test over the built Worker.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { freePort, root } from "./miniflare.mjs";

const run = promisify(execFile);
const READY_MS = 20_000;
const DEADLINE_MS = 180_000;

const folder = await mkdtemp(join(tmpdir(), "writ-pack-"));
after(() => rm(folder, { recursive: true, force: true }));

// The pinned Node, and nothing else of the repository.
const node = join(process.execPath, "..");
const env = { ...process.env, PATH: [node, "/usr/local/bin", "/usr/bin", "/bin"].join(delimiter), CARGO: "/nowhere" };
delete env.WRIT_PROFILE;
const npx = (...words) => run("npx", ["--no-install", ...words], { cwd: folder, env });

before(async () => {
  const { stdout } = await run(join(root, "scripts/pack"));
  const [tarball] = stdout.trim().split("\n").at(-1).split(",");
  await run("npm", ["init", "--yes"], { cwd: folder, env });
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", tarball], { cwd: folder, env });
});

/** Calls `writ dev` over a state of its own, gets a token, and answers how long it took until it was ready. */
async function serve(t, state) {
  const port = await freePort();
  const began = Date.now();
  const child = spawn("npx", ["--no-install", "writ", "dev"], {
    cwd: folder,
    env: { ...env, WRIT_PORT: String(port), WRIT_STATE: state },
    detached: true,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const ended = new Promise((done) => child.once("close", done));
  const stop = () => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, "SIGTERM");
    return ended;
  };
  t.after(stop);
  const file = join(state, "dev.json");
  while (!existsSync(file)) {
    assert.equal(child.exitCode, null, output);
    assert.ok(Date.now() - began < DEADLINE_MS, `not ready within ${DEADLINE_MS} ms:\n${output}`);
    await new Promise((done) => setTimeout(done, 50));
  }
  const took = Date.now() - began;
  const { issuer, agents: [agent], resources: [resource] } = JSON.parse(readFileSync(file, "utf8"));
  const answer = await fetch(`${issuer}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(`${agent.client_id}:${agent.client_secret}`).toString("base64")}` },
    body: new URLSearchParams({ grant_type: "client_credentials", resource, scope: agent.scope }),
  });
  assert.equal(answer.status, 200, await answer.text());
  assert.doesNotMatch(output, /refused|error|warn/i);
  await stop();
  return took;
}

test("writ dev serves tokens within 20 s of its call", async (t) => {
  // The best of three: what else runs on the machine is not the question.
  let best = Infinity;
  for (let i = 0; i < 3 && best > READY_MS; i++) best = Math.min(best, await serve(t, join(folder, `state-${i}`)));
  assert.ok(best <= READY_MS, `no start took less than ${best} ms`);
});

test("writ kek and writ init print what a deployment needs", async () => {
  assert.match((await npx("writ", "kek")).stdout, /^1:[\w-]{43}\n$/);
  const first = JSON.parse((await npx("writ", "init", "--origin", "https://id.example.com")).stdout);
  assert.match(first.client_secret, /^writ_cs_/);
  await assert.rejects(npx("writ", "init"), ({ stderr }) => /^writ: .*--origin/.test(stderr));
});

test("writ deploy makes a wrangler.toml, says what to fill in, and wrangler takes it", async () => {
  const file = join(folder, "wrangler.toml");
  await assert.rejects(npx("writ", "deploy"), ({ stderr }) => /not filled in/.test(stderr) && /database_id/.test(stderr));
  const text = await readFile(file, "utf8");
  assert.doesNotMatch(text, /scripts\//);
  await writeFile(file, text
    .replace(/"0{8}-[0-]+([01])"/g, '"11111111-1111-4111-8111-11111111111$1"')
    .replace(/"0{32}"/g, `"${"1".repeat(32)}"`)
    .replace(/^ORIGIN = .*/gm, 'ORIGIN = "https://id.example.com"'));
  assert.match((await npx("writ", "deploy", "--dry-run")).stdout, /Total Upload/);
  assert.match((await npx("writ", "deploy", "split", "--dry-run")).stdout, /Deploying discovery/);
  await writeFile(file, (await readFile(file, "utf8")).replaceAll("111110", "111111"));
  await assert.rejects(npx("writ", "deploy", "--dry-run"), ({ stderr }) => /the same database_id/.test(stderr));
});
