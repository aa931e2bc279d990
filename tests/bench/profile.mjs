// Where the CPU time of a token goes, or of a call through the proxy: V8's CPU profile of the isolate while it is under load, by function. The
// build must have kept the names of functions: `WRIT_NAMES=1 scripts/build`.
//
//   node tests/bench/profile.mjs [--what token|proxy] [--seconds N] [--top N]

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { freePort, root, start } from "../../scripts/lib/miniflare.mjs";
import { form, load } from "./load.mjs";
import { google, grant, populate, token } from "./setup.mjs";
import { connections, service } from "./vault.mjs";

const { values } = parseArgs({ options: { what: { type: "string", default: "token" }, seconds: { type: "string", default: "5" }, top: { type: "string", default: "60" } } });
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

/** Milliseconds by function, those with the most of their own first: its own, and with what it calls. */
function times({ nodes, samples, timeDeltas }) {
  const named = new Map(nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [id, functionName || `${url}:${lineNumber + 1}`]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const functions = new Map([...named.values()].map((name) => [name, { name, own: 0, all: 0 }]));
  samples.forEach((sample, at) => {
    const elapsed = timeDeltas[at] / 1000;
    functions.get(named.get(sample)).own += elapsed;
    const stack = new Set();
    for (let id = sample; id !== undefined; id = parents.get(id)) stack.add(named.get(id));
    for (const name of stack) functions.get(name).all += elapsed;
  });
  return [...functions.values()].sort((a, b) => b.own - a.own);
}

const state = join(root, "target/bench/profile");
await rm(state, { recursive: true, force: true });
const [stand, api] = [await google(), await service()];
const inspectorPort = await freePort();
const running = await start({
  port: await freePort(), state, consume: false, inspectorPort, vars: { DEV_OUTBOUND: [stand.origin, api.origin].join() },
});
try {
  const { agents, admin } = await populate(running, { clients: 10, policies: 10 }, stand);
  let [url, requests] = [`${running.issuer}/token`, agents.map((agent) => form(agent, grant))];
  if (values.what === "proxy") {
    const { caller, api: resource, proxied } = await connections({ running, admin }, api);
    const bearer = await token(url, caller, { ...grant, resource, scope: "connections:use" });
    [url, requests] = [`${proxied}/small`, [{ method: "GET", headers: { authorization: `Bearer ${bearer}` }, body: "" }]];
  }
  await load(url, requests, 3);
  const call = await inspector(inspectorPort);
  await call("Profiler.enable");
  await call("Profiler.setSamplingInterval", { interval: 200 });
  await call("Profiler.start");
  const { requests: answered } = await load(url, requests, seconds);
  const { profile } = await call("Profiler.stop");
  const micros = (ms) => ((ms * 1000) / answered).toFixed(1).padStart(8);
  console.log(`${answered} requests; microseconds a request of its own, and with what it calls:`);
  for (const { name, own, all } of times(profile).slice(0, Number(values.top))) console.log(`${micros(own)} ${micros(all)}  ${name}`);
} finally {
  await running.stop();
  stand.close();
  await api.close();
  await rm(state, { recursive: true, force: true });
}
process.exit();
