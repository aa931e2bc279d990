#!/usr/bin/env node
// `writ`, the command of the package that scripts/pack makes: the command line tool, and two commands that need no Rust either.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";

const [command, ...rest] = process.argv.slice(2);
const HELP = !command || ["help", "--help", "-h"].includes(command);

async function main() {
  if (Number(process.versions.node.split(".")[0]) < 22) throw new Error(`Node 22 or newer is needed, this is ${process.version}`);
  if (command === "dev" && !rest.includes("--help")) {
    process.env.WRIT_STATE ??= resolve(".writ");
    process.env.CLOUDFLARE_CF_FETCH_ENABLED ??= "false";
    return import("./dev.mjs");
  }
  if (command === "deploy" && !rest.includes("--help")) return import("./deploy.mjs");
  if (command === "replay") {
    const { run } = await import("./replay.mjs");
    process.exitCode = await run(rest, {
      env: process.env,
      now: Date.now(),
      fetch: globalThis.fetch,
      pause: (millis) => new Promise((done) => setTimeout(done, millis)),
      print: (text) => console.log(text),
      progress: (text) => console.error(text),
    });
    return;
  }
  const { cli, cli_verify } = await import(`../../build/${process.env.WRIT_PROFILE || "release"}/cli.mjs`);
  if (command === "verify" && !rest.includes("--help")) return console.log(await cli_verify(rest, texts(rest)));
  console.log(cli(process.argv.slice(2)));
  if (HELP) console.log(`
  writ dev [--split]                            serve on this machine, with a demonstration tenant (WRIT_PORT, WRIT_STATE)
  writ deploy [split] [--dry-run]               deploy to Cloudflare, as ./wrangler.toml says; the first call makes that file`);
}

/** The files among words, each with its text. */
function texts(words) {
  const names = words.map((word) => word.replace(/^--(?:key|witness)=/, ""));
  return names.flatMap((name) => {
    try {
      return [name, readFileSync(resolve(process.env.WRIT_FILES ?? ".", name), "utf8")];
    } catch {
      return [];
    }
  });
}

main().catch((error) => {
  console.error(`writ: ${error.message}`);
  process.exit(1);
});
