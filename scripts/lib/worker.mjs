// Makes a Worker of a crate that was compiled for WebAssembly: its JavaScript by wasm-bindgen, one module by esbuild, and for a release
// wasm-opt. What worker-build does, without compiling worker-build.
//
//   node scripts/lib/worker.mjs INPUT.wasm DIRECTORY [--release]
//
// DIRECTORY gets index.js and index_bg.wasm, and cli.mjs where the crate exports `cli`: a module for Node over the same WebAssembly.

import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";

const run = promisify(execFile);
const bindgen = process.env.BINDGEN;
const [input, output, release] = process.argv.slice(2);

/** What the platform calls, where the crate has it. */
const HANDLERS = ["fetch", "queue", "scheduled"];
/** What workerd knows of WebAssembly is named, so that nothing newer is written. */
const FEATURES = ["mutable-globals", "sign-ext", "nontrapping-float-to-int", "bulk-memory", "multivalue", "reference-types",
  "exception-handling"];
/** Whether functions keep their names, for a profile: without them the compressed Worker is a tenth smaller. */
const NAMES = Boolean(process.env.WRIT_NAMES);
const MICROTASK = join(import.meta.dirname, "microtask.js");
const WASM_IMPORT = /import source (\w+) from "\.\/index_bg\.wasm";/;

/** The Worker's entry. After a panic the memory of the instance is not to be trusted: the next event gets a new one. */
const entry = (handlers, hasOutbound) => `${hasOutbound ? 'import { WorkerEntrypoint } from "cloudflare:workers";' : ""}
import * as wasm from "./index.js";

Error.stackTraceLimit = 100;
const state = wasm.__worker_init_state();
addEventListener("error", ({ error }) => failed(error));

function failed(error) {
  if (error instanceof WebAssembly.RuntimeError) {
    console.error("Critical", error);
    state.criticalError = true;
  }
}

function ready() {
  if (state.criticalError) {
    console.log("A new instance after a panic");
    wasm.__wbg_reset_state();
    state.criticalError = false;
  }
}

export default {${handlers.map((name) => `
  async ${name}(argument, env, ctx) {
    ready();
    try {
      return await wasm.${name}(argument, env, ctx);
    } catch (error) {
      failed(error);
      throw error;
    }
  },`).join("")}
};
${hasOutbound ? OUTBOUND : ""}`;

/** What other Workers name as the outbound Worker of code that they run: it has one method and nothing else to call. */
const OUTBOUND = `
export class Outbound extends WorkerEntrypoint {
  async fetch(request) {
    ready();
    try {
      return await wasm.outbound(request, this.env, this.ctx, JSON.stringify(this.ctx.props ?? {}));
    } catch (error) {
      failed(error);
      throw error;
    }
  }
}
`;

/** The same WebAssembly for Node, which reads it from beside itself. */
const ON_NODE = (name) => `import { readFileSync } from "node:fs";
const ${name} = new WebAssembly.Module(readFileSync(new URL("./index_bg.wasm", import.meta.url)));`;

/** The platform's own modules: workerd has them; on Node there is nothing in them, and nothing that runs there asks for it. */
const PRESENT = { name: "workerd", setup: (build) => build.onResolve({ filter: /^cloudflare:/ }, ({ path }) => ({ path, external: true })) };
const ABSENT = {
  name: "node",
  setup(build) {
    build.onResolve({ filter: /^cloudflare:/ }, ({ path }) => ({ path, namespace: "absent" }));
    build.onLoad({ filter: /.*/, namespace: "absent" }, () => ({ contents: "module.exports = {};" }));
  },
};

async function main() {
  await mkdir(dirname(resolve(output)), { recursive: true });
  const work = await mkdtemp(`${resolve(output)}.`);
  try {
    await run(bindgen, [input, work]);
    const glue = await readFile(join(work, "index.js"), "utf8");
    if (!WASM_IMPORT.test(glue)) throw new Error("wasm-bindgen has changed how it imports the WebAssembly");
    const has = (name) => new RegExp(`^export function ${name}\\b`, "m").test(glue);

    const bundle = async (wasmImport, contents, outfile, platform) => {
      await writeFile(join(work, "index.js"), glue.replace(WASM_IMPORT, wasmImport));
      await build({
        stdin: { contents, resolveDir: work },
        outfile: join(work, outfile),
        bundle: true,
        format: "esm",
        minify: Boolean(release) && !NAMES,
        external: ["./index_bg.wasm", "node:*"],
        inject: [MICROTASK],
        plugins: [platform],
        logLevel: "warning",
      });
    };
    if (has("cli")) {
      await bundle((_, name) => ON_NODE(name), 'export { cli, cli_verify } from "./index.js";', "cli.mjs", ABSENT);
    }
    await bundle('import $1 from "./index_bg.wasm";', entry(HANDLERS.filter(has), has("outbound")), "worker.js", PRESENT);
    await rename(join(work, "worker.js"), join(work, "index.js"));
    await rm(join(work, "snippets"), { recursive: true, force: true });

    if (release) {
      const names = NAMES ? "--debuginfo" : "--strip-debug";
      const wasm = join(work, "index_bg.wasm");
      const features = FEATURES.map((name) => `--enable-${name}`);
      await run("wasm-opt", ["-O3", "--gufa", "-O3", names, ...features, wasm, "-o", wasm]);
    }
    await rm(output, { recursive: true, force: true });
    await rename(work, output);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

main().catch((error) => {
  console.error(error.stderr || error.message);
  process.exit(1);
});
