// Workers in bare workerd, without Miniflare: what the Worker itself costs. Storage and queue do nothing (see bare-entry.js); a cold
// isolate finds its records in the SQLite files that Miniflare left, over loopback.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, root } from "../../scripts/lib/miniflare.mjs";

/** Every SQLite file below a directory. */
const files = async (directory) =>
  (await readdir(directory, { recursive: true })).filter((name) => name.endsWith(".sqlite")).map((name) => join(directory, name));

/** The database in `directory` that has that table. */
async function open(directory, table) {
  for (const file of await files(directory)) {
    const database = new DatabaseSync(file);
    if (database.prepare("SELECT 1 FROM sqlite_master WHERE name = ?").get(table)) return database;
    database.close();
  }
  throw new Error(`no database below ${directory} has the table ${table}`);
}

/** Answers batches of statements from the databases of a state, as D1 does. */
export async function storage(state) {
  const databases = { DB: await open(join(state, "d1"), "tenants"), AUDIT_DB: await open(join(state, "d1"), "events") };
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const database = databases[request.url.split("/").at(-1)];
    const results = JSON.parse(Buffer.concat(chunks)).map(({ sql, values }) => {
      const results = database.prepare(sql).all(...values);
      const { changes } = database.prepare("SELECT changes() AS changes").get();
      return { success: true, results, meta: { changes } };
    });
    response.setHeader("content-type", "application/json").end(JSON.stringify(results));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close() {
      server.close();
      Object.values(databases).forEach((database) => database.close());
    },
  };
}

/** Starts the modules of a build in workerd; `entry` is a module beside them that goes first. */
export async function bare({ build, entry, bindings = {}, flags = [] }) {
  const port = await freePort();
  const directory = join(root, "target/bench", `bare-${port}`);
  await mkdir(directory, { recursive: true });
  const names = (await readdir(build)).filter((name) => /\.(js|wasm)$/.test(name));
  for (const name of names) await copyFile(join(build, name), join(directory, name));
  if (entry) await copyFile(entry, join(directory, "entry.js"));
  const modules = [...(entry ? ["entry.js"] : []), ...names.toSorted()].map((name) =>
    `(name = "${name}", ${name.endsWith(".wasm") ? "wasm" : "esModule"} = embed "${name}")`);
  const texts = Object.entries(bindings).map(([name, text]) => `(name = "${name}", text = ${JSON.stringify(text)})`);
  await writeFile(join(directory, "config.capnp"), `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [${modules.join(", ")}],
  bindings = [${texts.join(", ")}],
  compatibilityDate = "2026-07-30",
  compatibilityFlags = [${flags.map((flag) => `"${flag}"`).join(", ")}],
);
`);
  const child = spawn(join(root, "node_modules/.bin/workerd"), ["serve", "config.capnp"], { cwd: directory, stdio: ["ignore", "inherit", "inherit"] });
  for (const deadline = Date.now() + 20_000; ; await sleep(50)) {
    const answered = await fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false);
    if (answered) break;
    if (child.exitCode !== null || Date.now() > deadline) throw new Error("workerd did not start");
  }
  return {
    origin: `http://127.0.0.1:${port}`,
    pid: child.pid,
    async stop() {
      child.kill();
      await once(child, "exit").catch(() => {});
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export const entry = join(root, "tests/bench/bare-entry.js");
