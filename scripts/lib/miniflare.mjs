// Runs Writ's build in Miniflare 4 as wrangler.toml describes it: as one Worker or, with --split, as its four environments side by side,
// each with its own bindings and only the secrets that its roles need. scripts/dev and the benchmark are built on it.
//
//   node scripts/lib/miniflare.mjs [--port N] [--state DIR] [--split] [--dev-outbound ORIGINS]

import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { Miniflare } from "miniflare";
import { unstable_readConfig as readConfig, unstable_splitSqlQuery as splitSql } from "wrangler";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
/** What scripts/build has made. */
export const build = join(root, "build", process.env.WRIT_PROFILE || "release");

/** The environments of the split; the first is the front door. */
const SPLIT = ["discovery", "token", "broker", "admin"];
/** Miniflare has no cron of its own. */
const CRON_MS = 60_000;

/** What a Worker made by worker.mjs needs, Writ or another. */
export function modules(directory) {
  return {
    modules: true,
    modulesRoot: directory,
    scriptPath: join(directory, "index.js"),
    modulesRules: [
      { type: "ESModule", include: ["**/*.js"] },
      { type: "CompiledWasm", include: ["**/*.wasm"] },
    ],
  };
}

/** A port that nobody listens on: the origin must be known before the Worker starts. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/**
 * Starts Writ over `state`, a directory. `consume: false` leaves the queue without a consumer; `vars` override wrangler.toml's;
 * `entry` names another entry module, which stands beside the build's and imports it as `./index.js`; `inspectorPort` is where V8's
 * inspector listens; `beside` are other Workers that name Writ among their services: where their wrangler.toml is, and their port.
 */
export async function start({ port, state, split = false, vars = {}, consume = true, entry, inspectorPort, beside = [] }) {
  if (!existsSync(join(build, "index.js"))) throw new Error(`there is no ${build}/index.js: run scripts/build first`);
  const origin = `http://localhost:${port}`;
  await mkdir(state, { recursive: true });
  const configs = (split ? SPLIT : [undefined]).map((env) =>
    readConfig({ config: join(root, "wrangler.toml"), env }, { hideWarnings: true }));
  const secrets = await keys(state);
  const mf = new Miniflare({
    host: "127.0.0.1",
    port,
    inspectorPort,
    d1Persist: join(state, "d1"),
    kvPersist: join(state, "kv"),
    workers: [
      ...configs.map((config) => options(config, { vars: { ...vars, ORIGIN: origin }, secrets, consume, entry })),
      ...beside.map((other) => neighbour(other, { issuer: `${origin}/t/main`, writ: split ? "writ-broker" : "writ" })),
    ],
  });
  await mf.ready;
  let stopped;
  const cron = setInterval(() => tick(mf, configs), CRON_MS);
  return {
    origin,
    issuer: `${origin}/t/main`,
    database: (binding = "DB") =>
      mf.getD1Database(binding, configs.find((config) => config.d1_databases.some((database) => database.binding === binding)).name),
    /** Brings every database of wrangler.toml up to date. */
    async migrate() {
      const seen = new Set();
      for (const { name, d1_databases: databases } of configs) {
        for (const { binding, database_name, migrations_dir = "migrations" } of databases) {
          if (seen.has(database_name)) continue;
          seen.add(database_name);
          await migrate(await mf.getD1Database(binding, name), join(root, migrations_dir));
        }
      }
    },
    /** Runs the cron now, beside that of each minute. */
    tick: () => tick(mf, configs),
    stop() {
      clearInterval(cron);
      stopped ??= mf.dispose();
      return stopped;
    },
  };
}

/** A Worker's part of wrangler.toml in Miniflare's words. Names stand for ids, so that all environments share one database. */
function options(config, { vars, secrets, consume, entry }) {
  const table = (rows, entry) => Object.fromEntries(rows.map(entry));
  return {
    ...modules(build),
    ...(entry && { script: readFileSync(entry, "utf8"), scriptPath: join(build, basename(entry)) }),
    name: config.name,
    compatibilityDate: config.compatibility_date,
    compatibilityFlags: config.compatibility_flags,
    bindings: {
      ...config.vars,
      ...vars,
      ...table(config.secrets?.required ?? [], (name) => [name, secrets[name]]),
    },
    d1Databases: table(config.d1_databases, (database) => [database.binding, database.database_name]),
    kvNamespaces: table(config.kv_namespaces, (namespace) => [namespace.binding, namespace.binding]),
    serviceBindings: table(config.services ?? [], (service) => [service.binding, service.service]),
    queueProducers: table(config.queues.producers ?? [], (producer) => [producer.binding, producer.queue]),
    queueConsumers: table(consume ? (config.queues.consumers ?? []) : [], (consumer) => [consumer.queue, {
      maxBatchSize: consumer.max_batch_size,
      maxBatchTimeout: consumer.max_batch_timeout,
      maxRetries: consumer.max_retries,
      retryDelay: consumer.retry_delay,
      deadLetterQueue: consumer.dead_letter_queue,
    }]),
  };
}

/** A Worker beside Writ, which is the service `writ` to it. Its variable `ISSUER` is the issuer of this Writ. */
function neighbour({ folder, port }, { issuer, writ }) {
  const config = readConfig({ config: join(folder, "wrangler.toml") }, { hideWarnings: true });
  const services = (config.services ?? []).map(({ binding, service, entrypoint, props }) =>
    [binding, { name: service === "writ" ? writ : service, entrypoint, props }]);
  return {
    modules: true,
    modulesRoot: folder,
    scriptPath: config.main,
    modulesRules: [{ type: "ESModule", include: ["**/*.js"] }],
    name: config.name,
    compatibilityDate: config.compatibility_date,
    compatibilityFlags: config.compatibility_flags,
    bindings: { ...config.vars, ISSUER: issuer },
    serviceBindings: Object.fromEntries(services),
    workerLoaders: Object.fromEntries((config.worker_loaders ?? []).map(({ binding }) => [binding, {}])),
    unsafeDirectSockets: [{ host: "127.0.0.1", port }],
  };
}

/** What the platform's cron does every minute, for every Worker that asks for it. */
async function tick(mf, configs) {
  for (const { name, triggers } of configs) {
    for (const cron of triggers.crons ?? []) {
      try {
        await (await mf.getWorker(name)).scheduled({ cron });
      } catch (error) {
        console.error(`the cron of ${name} failed: ${error.message}`);
      }
    }
  }
}

/** The key-encryption keys of a state: made once, since what they seal lives there. */
async function keys(state) {
  const file = join(state, "keys.json");
  const known = existsSync(file) ? JSON.parse(await readFile(file, "utf8")) : {};
  const missing = ["SIGNING_KEK", "VAULT_KEK", "ADMIN_KEK", "PEOPLE_KEK"].filter((name) => !(name in known));
  const made = missing.map((name) => [name, `1:${randomBytes(32).toString("base64url")}`]);
  const all = { ...known, ...Object.fromEntries(made) };
  if (made.length > 0) await writeFile(file, JSON.stringify(all), { mode: 0o600 });
  return all;
}

/** Applies the migrations that a database has not seen, each in one batch with its entry in wrangler's own ledger. */
async function migrate(database, directory) {
  const ledger = `CREATE TABLE IF NOT EXISTS d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE,
    applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)`;
  await database.prepare(ledger).run();
  const { results } = await database.prepare("SELECT name FROM d1_migrations").all();
  const applied = new Set(results.map(({ name }) => name));
  const names = (await readdir(directory)).filter((name) => name.endsWith(".sql") && !applied.has(name)).sort();
  for (const name of names) {
    const entry = database.prepare("INSERT INTO d1_migrations (name) VALUES (?)").bind(name);
    await database.batch([...statements(database, await readFile(join(directory, name), "utf8")), entry]);
  }
}

const statements = (database, sql) => splitSql(sql).map((statement) => database.prepare(statement));

/** Makes the first admin client with the command line tool; answers its id and secret. */
export async function firstAdmin(database, origin) {
  const { cli } = await import(pathToFileURL(join(build, "cli.mjs")));
  const { sql, ...admin } = JSON.parse(cli(["init", "--origin", origin]));
  await database.batch(statements(database, sql));
  return admin;
}

// As a program: scripts/dev without the build before it.
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      port: { type: "string" },
      state: { type: "string" },
      split: { type: "boolean" }, // dev.mjs reads it itself
      "dev-outbound": { type: "string" },
    },
  });
  const variables = { WRIT_PORT: values.port, WRIT_STATE: values.state, WRIT_DEV_OUTBOUND: values["dev-outbound"] };
  for (const [name, value] of Object.entries(variables)) {
    if (value !== undefined) process.env[name] = value;
  }
  import("./dev.mjs");
}
