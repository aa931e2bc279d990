// The part of scripts/pack that follows the build: what is packed stands where it stands in the repository.

import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./miniflare.mjs";

const CONTENT = ["LICENSE", "build/release/index.js", "build/release/index_bg.wasm", "build/release/cli.mjs", "examples/bigquery-mcp/policies",
  "migrations", "scripts/lib/deploy.mjs", "scripts/lib/dev.mjs", "scripts/lib/miniflare.mjs", "scripts/lib/processes.mjs", "scripts/lib/replay.mjs", "scripts/lib/seed.mjs",
  "scripts/lib/writ.mjs", "wrangler.toml"];

const field = (name) => readFileSync(join(root, "Cargo.toml"), "utf8").match(new RegExp(`^${name} = "(.*)"$`, "m"))[1];
const { devDependencies: pinned, license } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

const work = mkdtempSync(join(root, "build/pack."));
try {
  for (const path of CONTENT) cpSync(join(root, path), join(work, path), { recursive: true });
  chmodSync(join(work, "scripts/lib/writ.mjs"), 0o755);
  cpSync(join(root, "scripts/lib/PACKAGE.md"), join(work, "README.md"));
  writeFileSync(join(work, "package.json"), `${JSON.stringify({
    name: field("name"),
    version: field("version"),
    description: field("description"),
    license,
    engines: { node: ">=22" },
    bin: { writ: "scripts/lib/writ.mjs" },
    dependencies: { miniflare: pinned.miniflare, wrangler: pinned.wrangler },
  }, null, 2)}\n`);
  const [{ filename, size }] = JSON.parse(execFileSync("npm", ["pack", "--json", "--pack-destination", join(root, "build"), work]));
  console.log(`${join(root, "build", filename)}, ${(size / 1e6).toFixed(1)} MB`);
} finally {
  rmSync(work, { recursive: true });
}
