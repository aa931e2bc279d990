// Where the CPU time of a token goes: V8's CPU profile of the isolate while it is under load, self time by function. The build must have
// kept the names of functions: `WRIT_NAMES=1 scripts/build`.
//
//   node tests/bench/profile.mjs [--seconds N] [--top N]

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { freePort, root, start } from "../../scripts/lib/miniflare.mjs";
import { form, load } from "./load.mjs";
import { google, grant, populate } from "./setup.mjs";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "5" }, top: { type: "string", default: "60" } } });
const seconds = Number(values.seconds);

/** A session with the inspector of the Worker: `call(method, params)`. */
async function inspector(port) {
  const targets = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
  const socket = new WebSocket(targets.find(({ id }) => id.includes("writ")).webSocketDebuggerUrl);
  await new Promise((open, failed) => {
    socket.onopen = open;
    socket.onerror = () => failed(new Error("the inspector does not answer"));
  });
  const waiting = new Map();
  socket.onmessage = ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    waiting.get(id)?.(error ?? result);
  };
  let last = 0;
  return (method, params = {}) => new Promise((done) => {
    waiting.set(++last, done);
    socket.send(JSON.stringify({ id: last, method, params }));
  });
}

/** Milliseconds of self time by function, largest first. */
function selfTimes({ nodes, samples, timeDeltas }) {
  const names = new Map(nodes.map(({ id, callFrame: { functionName, url } }) => [id, functionName || url || "(anonymous)"]));
  const times = new Map();
  samples.forEach((id, n) => times.set(names.get(id), (times.get(names.get(id)) ?? 0) + timeDeltas[n] / 1000));
  return [...times].sort(([, a], [, b]) => b - a);
}

const state = join(root, "target/bench/profile");
await rm(state, { recursive: true, force: true });
const stand = await google();
const inspectorPort = await freePort();
const running = await start({
  port: await freePort(), state, consume: false, inspectorPort, vars: { DEV_OUTBOUND: stand.origin },
});
try {
  const { agents } = await populate(running, { clients: 10, policies: 10 }, stand);
  const requests = agents.map((agent) => form(agent, grant));
  const url = `${running.issuer}/token`;
  await load(url, requests, 3);
  const call = await inspector(inspectorPort);
  await call("Profiler.enable");
  await call("Profiler.setSamplingInterval", { interval: 200 });
  await call("Profiler.start");
  const { requests: answered } = await load(url, requests, seconds);
  const { profile } = await call("Profiler.stop");
  console.log(`${answered} tokens; microseconds a token:`);
  for (const [name, ms] of selfTimes(profile).slice(0, Number(values.top))) {
    console.log(`${((ms * 1000) / answered).toFixed(1).padStart(8)}  ${name}`);
  }
} finally {
  await running.stop();
  stand.close();
  await rm(state, { recursive: true, force: true });
}
process.exit();
