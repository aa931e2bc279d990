// Processes of this machine: which workerd a scripts/dev has started, so that one that was left behind is ended at the next start.
// Miniflare ends workerd with itself, but not when it is killed (kill -9): workerd then listens on, over the same state.

import { execFileSync } from "node:child_process";
import { createServer } from "node:net";
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";

const PATIENCE_MS = 5_000;

/** All that can be seen: `pid`, the parent's `parent`, and the `command` line. */
function processes() {
  if (process.platform === "linux") return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap(ofProc);
  try {
    const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid=,command="], { encoding: "utf8", maxBuffer: 1 << 26 }).split("\n");
    return lines.flatMap((line) => {
      const [, pid, parent, command] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
      return pid ? [{ pid: Number(pid), parent: Number(parent), command }] : [];
    });
  } catch {
    return [];
  }
}

function ofProc(pid) {
  try {
    // The name, in parentheses, may hold anything; state and parent follow the last one.
    const [state, parent] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1).split(" ");
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
    return state === "Z" ? [] : [{ pid: Number(pid), parent: Number(parent), command }];
  } catch {
    return []; // it has ended meanwhile
  }
}

/** The workerd that serves a port. */
export const serving = (port) => processes().find(({ command }) => /\bworkerd\S* serve /.test(command) && command.includes(`=entry=127.0.0.1:${port} `));

/** Whether a port can be listened on. */
export const isFree = (port) => new Promise((done) => {
  const probe = createServer().once("error", () => done(false));
  probe.listen(port, "127.0.0.1", () => probe.close(() => done(true)));
});

/** Notes which workerd serves the port for this process. */
export function note(file, port) {
  const { pid, parent } = serving(port) ?? {};
  if (parent !== process.pid) return;
  writeFileSync(`${file}.new`, `${JSON.stringify({ pid, parent, port })}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/**
 * Ends the workerd that `file` names, if it is still that one and what has started it is gone. Answers the process that has started it
 * where that is still there: it serves.
 */
export async function end(file) {
  if (!existsSync(file)) return undefined;
  const { pid, parent, port } = JSON.parse(readFileSync(file, "utf8"));
  const left = () => {
    const found = serving(port);
    return found?.pid === pid ? found : undefined;
  };
  if (left()?.parent === parent) return parent;
  if (left()) {
    console.error(`An earlier scripts/dev was killed and has left workerd, process ${pid}, behind: it is ended.`);
    process.kill(pid, "SIGKILL");
    // Its port is its own until the last of it is gone.
    for (const until = Date.now() + PATIENCE_MS; !(await isFree(port)) && Date.now() < until; ) await new Promise((done) => setTimeout(done, 50));
  }
  rmSync(file, { force: true });
  return undefined;
}
