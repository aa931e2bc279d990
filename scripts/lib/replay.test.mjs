// `writ replay` adds pages up, goes on where it was cut, and says by its status whether anything would have been otherwise. Run by scripts/test.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { options, run } from "./replay.mjs";

const folder = mkdtempSync(join(tmpdir(), "writ-replay-"));
after(() => rmSync(folder, { recursive: true, force: true }));
writeFileSync(join(folder, "changes.json"), '[{"id":"no-cancel","mode":"off"}]');

const NOW = 1_800_000_000_000;
const group = (count) => ({ client: "c1", client_name: "desk", action: "issue", scope: "orders:cancel", was: "allow", would: "deny", count, already: 0 });
const page = (changed, more = {}) => ({
  policy_version: "v1", read: 10, decisions: 8, changed, would_allow: 0, would_deny: changed, would_require: 0,
  skipped: [], groups: changed ? [group(changed)] : [], more: 0, examples: [], ...more,
});

/** Runs the command against a server that answers these in turn: an object, a status, or an error. */
async function replay(answers, words = [], env = {}) {
  const [printed, told, asked, left] = [[], [], [], [...answers]];
  const call = {
    env: { ADMIN_TOKEN: "token", WRIT_FILES: folder, ...env },
    now: NOW,
    pause: async () => {},
    print: (text) => printed.push(text),
    progress: (text) => told.push(text),
    fetch: async (url, request) => {
      asked.push({ url, ...JSON.parse(request.body), authorization: request.headers.authorization });
      const answer = left.shift();
      if (answer instanceof Error) throw answer;
      return { status: typeof answer === "number" ? answer : 200, text: async () => JSON.stringify(answer) };
    },
  };
  const outcome = await run(["changes.json", "--url=https://id.example/t/main/", ...words], call).catch((error) => error);
  return { outcome, printed, told, asked };
}

test("pages are added up over the same period, and the status says that something would be otherwise", async () => {
  const { outcome, printed, told, asked } = await replay([page(2, { next_cursor: "a" }), page(1, { skipped: [{ why: "gone", count: 4 }] })]);
  assert.equal(outcome, 2);
  assert.deepEqual(printed, ["16 decisions, 3 would be others", "3 x orders:cancel of desk: allow, would be deny"]);
  assert.deepEqual(asked.map(({ cursor }) => cursor), [undefined, "a"]);
  assert.ok(asked.every(({ since, until }) => until === NOW / 1000 && since === NOW / 1000 - 7 * 86400));
  assert.equal(asked[0].url, "https://id.example/t/main/admin/policies/replay");
  assert.equal(asked[0].authorization, "Bearer token");
  assert.match(told.join("\n"), /20 events read/);
  assert.match(told.join("\n"), /4 decisions were passed over: gone/);
});

test("the status is 0 where nothing would be otherwise", async () => {
  assert.equal((await replay([page(0)])).outcome, 0);
});

test("what may be asked again is, and a refusal ends it", async () => {
  assert.equal((await replay([503, 429, new TypeError("fetch failed"), page(0)])).outcome, 0);
  const { outcome, asked } = await replay([403]);
  assert.match(outcome.message, /^403/);
  assert.equal(asked.length, 1);
  assert.match((await replay(Array(9).fill(500))).outcome.message, /^500/);
});

test("a run that was cut goes on where it was, and only with the same question", async () => {
  const state = ["--state", "far.json"];
  assert.ok((await replay([page(2, { next_cursor: "a" }), 403], state)).outcome instanceof Error);
  const { outcome, printed, asked } = await replay([page(1)], state);
  assert.equal(outcome, 2);
  assert.deepEqual([asked.length, asked[0].cursor], [1, "a"]);
  assert.equal(printed[0], "16 decisions, 3 would be others");
  // Done is done.
  assert.deepEqual((await replay([], state)).printed, printed);
  assert.match((await replay([], [...state, "--days", "8"])).outcome.message, /another replay/);
  assert.ok(!readFileSync(join(folder, "far.json"), "utf8").includes("token"));
});

test("pages that different policies decided are not added up", async () => {
  const { outcome } = await replay([page(2, { next_cursor: "a" }), page(1, { policy_version: "v2" })]);
  assert.match(outcome.message, /changed meanwhile/);
});

test("pages stream as JSON lines", async () => {
  const { printed } = await replay([page(2, { next_cursor: "a" }), page(1)], ["--json"]);
  assert.deepEqual(printed.map((line) => JSON.parse(line).changed), [2, 1]);
});

test("a wrong word is named", async () => {
  assert.throws(() => options(["x", "--urls", "y"]), /`--urls`/);
  assert.throws(() => options(["x"]), /`--url`/);
  assert.throws(() => options(["--url", "y"]), /file with the changes/);
  assert.throws(() => options(["x", "--url"]), /needs a value/);
  assert.throws(() => options(["x", "--url=y", "--days=week"]), /`--days`/);
  assert.match((await replay([], [], { ADMIN_TOKEN: "" })).outcome.message, /ADMIN_TOKEN/);
});
