// Deploys Writ to Cloudflare as wrangler.toml says: migrates the databases, then deploys one Worker or the four of the split.
//
//   node scripts/lib/deploy.mjs [split] [--check | --dry-run]
//
// --check is for scripts/deploy: it asks whether all is filled in before it builds.
//
// In the repository wrangler.toml is the repository's. From the package it is the one in the working directory, which the first call
// makes: it names the build and the migrations of the installed package, so that an upgrade touches nothing that was filled in.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const packaged = !existsSync(join(root, "Cargo.toml"));
const config = join(packaged ? process.cwd() : root, "wrangler.toml");
const SPLIT = ["token", "broker", "admin", "discovery"];

/** The repository's wrangler.toml for a folder in which the package is installed. */
function template() {
  const here = relative(process.cwd(), root).replaceAll("\\", "/");
  return readFileSync(join(root, "wrangler.toml"), "utf8")
    .replace(/(#.*\n)*\[build\]\n(.+\n)*\n/, "")
    .replace(/^(main|migrations_dir) = "(.*)"/gm, `$1 = "${here}/$2"`)
    .replaceAll("scripts/writ", "npx writ")
    .replaceAll("scripts/deploy", "npx writ deploy");
}

/** What is not filled in, of the half of wrangler.toml that is about to be deployed. */
function missing(text, split) {
  let chosen = false;
  return text.split("\n").flatMap((line, index) => {
    if (line.startsWith("[")) chosen = /^\[+env\./.test(line) === split;
    if (!chosen) return [];
    const where = `  line ${index + 1}: ${line}`;
    if (/^(database_id|id) = "[0-]+1?"$/.test(line)) return [where];
    if (/^ORIGIN = /.test(line) && !/^ORIGIN = "https:\/\/[^/"]+"$/.test(line)) return [`${where}   (must be https://HOST)`];
    return [];
  });
}

/** Each database, with an environment that is bound to it. One id under two names is refused: their migrations would be taken for each other's. */
async function databases(environments) {
  const { unstable_readConfig: read } = await import("wrangler");
  const bound = environments.flatMap((env) =>
    read({ config, env: env || undefined }, { hideWarnings: true }).d1_databases.map((database) => ({ ...database, env })));
  const twice = bound.find((one) => bound.some((other) => other.database_id === one.database_id && other.database_name !== one.database_name));
  if (twice) throw new Error(`wrangler.toml gives writ and writ-audit the same database_id ${twice.database_id}: each needs a database of its own.`);
  return new Map(bound.map(({ database_name: name, env }) => [name, env]));
}

function wrangler(...words) {
  const path = [join(process.cwd(), "node_modules/.bin"), join(root, "node_modules/.bin"), process.env.PATH].join(delimiter);
  const { status, error } = spawnSync("wrangler", [...words, "--config", config], {
    stdio: "inherit",
    env: { ...process.env, PATH: path },
  });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

async function main() {
  const words = process.argv.slice(2).filter((word) => word !== "deploy");
  const unknown = words.find((word) => !["split", "--check", "--dry-run"].includes(word));
  if (unknown) throw new Error(`Unknown argument ${unknown}: split and --dry-run are known`);
  const split = words.includes("split");
  if (!existsSync(config)) {
    writeFileSync(config, template());
    console.log(`${config} is new; its first lines say how to fill it in.`);
  }
  const text = readFileSync(config, "utf8");
  const open = missing(text, split);
  if (open.length > 0) throw new Error(`wrangler.toml is not filled in; its first lines say how:\n${open.join("\n")}`);
  const environments = split ? SPLIT : [""];
  const migrated = await databases(environments);
  if (words.includes("--check")) return;

  const dry = words.includes("--dry-run");
  for (const [name, environment] of dry ? [] : migrated) {
    wrangler("d1", "migrations", "apply", name, "--remote", "--env", environment);
  }
  for (const environment of environments) {
    console.log(`Deploying ${environment || "writ"}`);
    wrangler("deploy", "--env", environment, ...(dry ? ["--dry-run"] : []));
  }
}

main().catch((error) => {
  console.error(`\x1b[31m${error.message}\x1b[0m`);
  process.exit(1);
});
