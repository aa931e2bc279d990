// What the lexer of vendor/lalrpop-util spares: the compressed size of Cedar's parser, and the time of the first policy that is parsed.
//   node tests/bench/lexer.mjs
import { spawnSync } from "node:child_process";
import { copyFileSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const folder = join(dirname(fileURLToPath(import.meta.url)), "lexer");
const root = join(folder, "../../..");
const RUNS = 15;
const VARIANTS = {
  "the lexer of `vendor/`": ["--config", `patch.crates-io.lalrpop-util.path="${join(root, "vendor/lalrpop-util")}"`],
  "the original": [],
};

if (process.argv[2]) {
  console.log(JSON.stringify(first(process.argv[2])));
} else {
  console.log("| Cedar's parser with | gzip | first policy | the next |\n| --- | --- | --- | --- |");
  for (const [name, options] of Object.entries(VARIANTS)) {
    const file = build(name, options);
    // Each in a process of its own, or the engine would have compiled the code already.
    const runs = Array.from({ length: RUNS }, () => JSON.parse(spawnSync(process.execPath, [process.argv[1], file]).stdout));
    const [cold, warm] = [0, 1].map((n) => median(runs.map((run) => run[n])).toFixed(2));
    const kilobytes = (gzipSync(readFileSync(file), { level: 9 }).length / 1000).toFixed(0);
    console.log(`| ${name} | ${kilobytes} KB | ${cold} ms | ${warm} ms |`);
  }
}

/** Builds a variant and answers its file. */
function build(name, options) {
  const target = join(root, "target/bench-lexer");
  // The versions of Writ itself.
  copyFileSync(join(root, "Cargo.lock"), join(folder, "Cargo.lock"));
  const args = ["build", "--quiet", "--release", "--target", "wasm32-unknown-unknown", "--target-dir", target, ...options];
  const { status } = spawnSync("cargo", args, { cwd: folder, stdio: "inherit" });
  if (status !== 0) throw new Error(`cargo could not build ${name}`);
  const built = join(target, "wasm32-unknown-unknown/release/writ_bench_lexer.wasm");
  const file = join(target, options.length ? "vendor.wasm" : "original.wasm");
  copyFileSync(built, file);
  return file;
}

/** Milliseconds of the first policy that a fresh instance parses, and of the one after it. */
function first(file) {
  const module = new WebAssembly.Module(readFileSync(file));
  const imports = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) (imports[from] ??= {})[name] = () => 0;
  const { parse } = new WebAssembly.Instance(module, imports).exports;
  return [0, 1].map(() => {
    const start = performance.now();
    if (parse() !== 1) throw new Error("the policy was not read");
    return performance.now() - start;
  });
}

function median(numbers) {
  return numbers.sort((a, b) => a - b)[numbers.length >> 1];
}
