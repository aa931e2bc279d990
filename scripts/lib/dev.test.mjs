// scripts/dev keeps its word. Run by scripts/test over the built Worker.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { freePort, root } from "./miniflare.mjs";
import { serving } from "./processes.mjs";

const DEADLINE_MS = 180_000;
const SECOND_START_MS = 5_000;

/** Starts scripts/dev from a directory that is not the project's; answers once dev.json is there, fails when it ends instead. */
async function dev(t, state, port, ...args) {
  const began = Date.now();
  const child = spawn(join(root, "scripts/dev"), args, {
    cwd: tmpdir(),
    env: { ...process.env, WRIT_PORT: String(port), WRIT_STATE: state },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const ended = new Promise((done) => child.on("close", (code) => done({ code, output })));
  const stop = (signal) => (child.kill(signal), ended);
  t.after(() => stop("SIGTERM"));
  const file = join(state, "dev.json");
  while (!existsSync(file)) {
    if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}: ${(await ended).output}`);
    assert.ok(Date.now() - began < DEADLINE_MS, `not ready within ${DEADLINE_MS} ms:\n${output}`);
    await new Promise((done) => setTimeout(done, 50));
  }
  return { ...JSON.parse(readFileSync(file, "utf8")), file, stop, took: Date.now() - began };
}

const scratch = await mkdtemp(join(tmpdir(), "writ-"));
after(() => rm(scratch, { recursive: true }));

/** A state of its own; it goes with the others, when nobody runs on it any more. */
const state = () => mkdtemp(join(scratch, "state-"));

function token({ issuer }, { client_id, client_secret, scope, resource }) {
  return fetch(`${issuer}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString("base64")}` },
    body: new URLSearchParams({ grant_type: "client_credentials", scope, resource }),
  });
}

test("a second start with nothing changed is quick and knows the same clients", async (t) => {
  const [where, port] = [await state(), await freePort()];
  const first = await dev(t, where, port);
  assert.equal((await first.stop("SIGTERM")).code, 0);
  // The best of three: what else runs on the machine is not the question.
  let best = Infinity;
  for (let i = 0; i < 3 && best > SECOND_START_MS; i++) {
    const again = await dev(t, where, port);
    assert.deepEqual(again.agents, first.agents);
    assert.equal((await token(again, again.agents[0])).status, 200);
    best = Math.min(best, again.took);
    await again.stop("SIGTERM");
  }
  assert.ok(best <= SECOND_START_MS, `no start took less than ${best} ms`);
});

for (const signal of ["SIGINT", "SIGTERM"]) {
  test(`after ${signal} nothing listens and dev.json is gone`, async (t) => {
    const writ = await dev(t, await state(), await freePort());
    assert.equal((await writ.stop(signal)).code, 0);
    assert.equal(existsSync(writ.file), false);
    await assert.rejects(fetch(writ.origin));
  });
}

test("what kill -9 leaves behind is ended at the next start, and what serves is not", async (t) => {
  const [where, port] = [await state(), await freePort()];
  const first = await dev(t, where, port);
  const env = { ...process.env, WRIT_PORT: String(port), WRIT_STATE: where };
  await assert.rejects(promisify(execFile)(join(root, "scripts/dev"), { env }), /is in use: scripts\/dev, process \d+/);
  const { pid } = serving(port);
  await first.stop("SIGKILL");
  assert.equal(serving(port)?.pid, pid, "workerd has ended by itself");
  await rm(first.file);
  const second = await dev(t, where, port);
  assert.notEqual(serving(port).pid, pid);
  assert.equal((await token(second, second.agents[0])).status, 200);
});

test("two copies run side by side and neither honours the other's clients", async (t) => {
  const [a, b] = await Promise.all([0, 0].map(async () => dev(t, await state(), await freePort())));
  assert.notEqual(a.issuer, b.issuer);
  assert.equal((await token(a, a.agents[0])).status, 200);
  assert.equal((await token(b, a.agents[0])).status, 401);
});

test("a taken port and a state of another origin are refused with what to do", async (t) => {
  const where = await state();
  const writ = await dev(t, where, await freePort());
  await assert.rejects(dev(t, await state(), new URL(writ.origin).port), /ended with 1: .*is taken.*WRIT_PORT/s);
  await writ.stop("SIGTERM");
  await assert.rejects(dev(t, where, await freePort()), /ended with 1: .*belongs to http:\S+: set WRIT_PORT/s);
});

test("only the owner may read what holds secrets", async (t) => {
  const where = await state();
  const { file } = await dev(t, where, await freePort());
  assert.equal(statSync(file).mode & 0o077, 0);
  assert.equal(statSync(where).mode & 0o077, 0);
});
