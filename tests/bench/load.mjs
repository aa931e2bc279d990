// Load: requests as bytes, and wrk, which sends them over loopback with one thread and sixteen connections.

import { execFile } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const script = join(dirname(fileURLToPath(import.meta.url)), "wrk.lua");

/** Where the callers are, as far as policies can tell. */
const ADDRESS = "192.0.2.10";

/** The `workerd` processes that this one has started. */
export function workerds() {
  const stat = (pid) => {
    try {
      return readFileSync(`/proc/${pid}/stat`, "utf8");
    } catch {
      return ""; // it has just ended
    }
  };
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number)
    .filter((pid) => stat(pid).startsWith(`${pid} (workerd) `) && stat(pid).split(") ")[1].split(" ")[1] === String(process.pid));
}

/** The CPU time that a process has used, in milliseconds: what the kernel counts, in hundredths of a second. */
export function cpuMillis(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** A form post with Basic authentication, if the client has a secret, as fetch() takes it. */
export function form({ client_id, client_secret }, fields, headers = {}) {
  const basic = client_secret && { authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString("base64")}` };
  return {
    method: "POST",
    headers: {
      ...basic,
      "cf-connecting-ip": ADDRESS,
      ...headers,
      "content-type": "application/x-www-form-urlencoded",
    },
    body: new URLSearchParams(fields).toString(),
  };
}

/** The same as bytes. */
function raw(url, { method, headers, body }) {
  const all = { host: url.host, ...headers, "content-length": Buffer.byteLength(body) };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${url.pathname} HTTP/1.1\r\n${lines.join("")}\r\n${body}`;
}

/** Sends `requests` in turn to `url` for `seconds`. What is not a success is counted. */
export async function load(url, requests, seconds) {
  const target = new URL(url);
  const directory = await mkdtemp(join(tmpdir(), "writ-load-"));
  try {
    const file = join(directory, "requests");
    await writeFile(file, requests.map((request) => raw(target, request)).join("\0"));
    const address = `http://127.0.0.1:${target.port}${target.pathname}`;
    const args = ["-t1", "-c16", `-d${seconds}s`, "--timeout", "10s", "--latency", "-s", script, address];
    const options = { env: { ...process.env, REQUESTS: file }, timeout: (seconds + 30) * 1000 };
    const { stdout } = await promisify(execFile)("wrk", args, options);
    const result = JSON.parse(stdout.trimEnd().split("\n").at(-1));
    if (result.requests === 0) throw new Error(`${url}: no request was answered`);
    if (result.failed > 0) console.warn(`${url}: ${result.failed} of ${result.requests} requests failed`);
    const { p50, p99, failed } = result;
    return { rate: result.requests / result.seconds, p50, p99, requests: result.requests, failed };
  } finally {
    await rm(directory, { recursive: true });
  }
}
