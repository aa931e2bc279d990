// `writ replay`: what changes of policies would have done to what was decided, over all pages of POST admin/policies/replay.

import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";

export const USAGE = `  writ replay CHANGES --url URL [--days DAYS] [--client ID] [--state FILE] [--json]

  Decides again what was decided in the last days, as if the policies had been changed, and prints what would have been otherwise. Nothing is written.
  The token of an administrator is read from ADMIN_TOKEN.

  CHANGES     a file with a JSON array of changes, each with \`id\` and \`cedar\` (with or without \`mode\`), \`mode\` or \`delete\`; - reads standard input
  --url       the issuer of the tenant, such as https://id.example.com/t/main
  --days      how far back (7)
  --client    the decisions of one client alone
  --state     a file that keeps how far it came: the same call goes on from there, and removes nothing
  --json      print each page as a line of JSON as it comes, instead of one summary at the end

  A token that expires meanwhile ends the call: with --state the next one goes on. The exit status is 0 if nothing would have been otherwise, 2 if something would, 1 if it failed.`;

const ATTEMPTS = 5;
const SUMS = ["read", "decisions", "changed", "would_allow", "would_deny", "would_require"];

/** The words as options; the first one that has no name is the file with the changes. */
export function options(words) {
  const known = { "--url": "url", "--days": "days", "--client": "client", "--state": "state" };
  const all = { days: "7" };
  for (let rest = [...words]; rest.length > 0; ) {
    const [word, ...after] = rest;
    const [name, value] = word.split(/=(.*)/s);
    if (name === "--json") [all.json, rest] = [true, after];
    else if (known[name]) {
      all[known[name]] = value ?? after.shift();
      if (!all[known[name]]) throw new Error(`\`${name}\` needs a value`);
      rest = after;
    } else if (word.startsWith("--")) throw new Error(`there is no option \`${name}\`\n\n${USAGE}`);
    else if (all.changes) throw new Error(`one file with changes is enough\n\n${USAGE}`);
    else [all.changes, rest] = [word, after];
  }
  if (!all.changes || !all.url) throw new Error(`${all.changes ? "`--url`" : "the file with the changes"} is missing\n\n${USAGE}`);
  if (!(Number(all.days) > 0)) throw new Error("`--days` must be a number above 0");
  return all;
}

/** One page. What may be asked again is, after a pause. */
async function page(url, question, { token, fetch, pause }) {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await fetch(`${url.replace(/\/$/, "")}/admin/policies/replay`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(question),
    }).catch((error) => ({ status: 0, text: async () => String(error.cause?.message ?? error.message) }));
    const text = await answer.text();
    if (answer.status === 200) return JSON.parse(text);
    if (attempt >= ATTEMPTS || (answer.status !== 0 && answer.status !== 429 && answer.status < 500)) {
      throw new Error(`${answer.status || "no answer"}: ${text.slice(0, 1000)}`);
    }
    await pause(1000 * 2 ** (attempt - 1));
  }
}

/** Runs the command; the exit status. */
export async function run(words, { env, now, fetch, pause, print, progress }) {
  if (words.some((word) => word === "--help" || word === "-h")) {
    print(USAGE);
    return 0;
  }
  const given = options(words);
  const token = env.ADMIN_TOKEN;
  if (!token) throw new Error("ADMIN_TOKEN is missing: it has the access token of an administrator");
  const at = (name) => resolve(env.WRIT_FILES ?? ".", name);
  const changes = JSON.parse(readFileSync(given.changes === "-" ? 0 : at(given.changes), "utf8"));
  const asked = { url: given.url, changes, days: given.days, client: given.client ?? null };
  let state = { asked, since: Math.floor(now / 1000 - Number(given.days) * 86400), until: Math.floor(now / 1000), sums: {}, groups: {}, skipped: {} };
  if (given.state && existsSync(at(given.state))) {
    state = JSON.parse(readFileSync(at(given.state), "utf8"));
    if (JSON.stringify(state.asked) !== JSON.stringify(asked)) throw new Error(`\`${given.state}\` is of another replay: remove it, or name another file`);
    progress(`going on after ${state.sums.read ?? 0} events`);
  }
  while (!state.done) {
    const { since, until, cursor } = state;
    const question = { changes, since, until, ...(given.client && { client_id: given.client }), ...(cursor && { cursor }), limit: 2000 };
    const answer = await page(given.url, question, { token, fetch, pause });
    // Sums over pages that were decided by different policies would say nothing.
    if (state.policy_version && state.policy_version !== answer.policy_version) {
      throw new Error("the policies in force were changed meanwhile: begin anew");
    }
    if (given.json) print(JSON.stringify(answer));
    for (const { why, count } of answer.skipped) state.skipped[why] = (state.skipped[why] ?? 0) + count;
    for (const name of SUMS) state.sums[name] = (state.sums[name] ?? 0) + (answer[name] ?? 0);
    for (const { count, was, would, ...group } of answer.groups) {
      const key = `${group.scope ?? group.connection ?? group.action} of ${group.client_name ?? group.client}: ${was}, would be ${would}`;
      state.groups[key] = (state.groups[key] ?? 0) + count;
    }
    state = { ...state, policy_version: answer.policy_version, cursor: answer.next_cursor, done: !answer.next_cursor };
    if (given.state) {
      writeFileSync(`${at(given.state)}.new`, JSON.stringify(state));
      renameSync(`${at(given.state)}.new`, at(given.state));
    }
    progress(`${state.sums.read} events read, ${state.sums.decisions} decisions, ${state.sums.changed} would be others`);
  }
  if (!given.json) {
    print(`${state.sums.decisions} decisions, ${state.sums.changed} would be others`);
    for (const [group, count] of Object.entries(state.groups)) print(`${count} x ${group}`);
  }
  for (const [why, count] of Object.entries(state.skipped)) progress(`${count} decisions were passed over: ${why}`);
  return state.sums.changed > 0 ? 2 : 0;
}
