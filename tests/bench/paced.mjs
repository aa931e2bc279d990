// Latency at a constant rate: requests leave when they are due, whether the ones before them were answered or not, and each is timed from
// when it was due. A server that stalls makes all that wait behind the stall late, as it would in front of real callers.

import http from "node:http";

/** Sends `requests` in turn to `url` at `rate` a second for `seconds`: milliseconds of p50 and p99, and how many failed. `answered` hears of each answer. */
export async function paced(url, requests, rate, seconds, answered = () => {}) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  const target = new URL(url);
  const total = Math.round(rate * seconds);
  const begun = performance.now();
  const times = [];
  let failed = 0;
  const send = (due, { method, headers, body }) => new Promise((done) => {
    const request = http.request(
      { agent, host: "127.0.0.1", port: target.port, path: target.pathname, method, headers: { host: target.host, ...headers } },
      (response) => response.resume().once("end", () => {
        times.push(performance.now() - due);
        answered();
        if (response.statusCode !== 200) failed += 1;
        done();
      }),
    );
    request.once("error", () => {
      failed += 1;
      done();
    });
    request.end(body);
  });
  const sent = [];
  while (sent.length < total) {
    const due = begun + (sent.length * 1000) / rate;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((go) => setTimeout(go, wait));
    else if (sent.length % 32 === 0) await new Promise(setImmediate); // answers are read between requests that are late
    sent.push(send(due, requests[sent.length % requests.length]));
  }
  await Promise.all(sent);
  agent.destroy();
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
  return { rate, p50: at(0.5), p99: at(0.99), failed };
}
