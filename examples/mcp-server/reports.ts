// Reports to Writ which tools were called: in batches, beside the calls. Copy it beside your own MCP server.
//
// A report neither slows a call nor fails one. Calls wait in memory; while Writ cannot be reached, the oldest give way. The token of a
// call goes along, for it proves who called; nothing but a digest tells of the arguments.

import { createHash, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const [pauseMillis, longestPause, lastMillis] = [2_000, 60_000, 5_000];
const [mostCalls, mostBytes, mostWaiting] = [50, 60_000, 5_000];

type Call = Record<string, string | number>;

/** The same text for the same arguments, whatever the order of their members. */
function canonical(value: any): any {
  if (Array.isArray(value)) return value.map(canonical);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, canonical(value[name])]));
}

/** The calls of one resource server, whose client may ask for `{issuer}/events`. */
export class Reports {
  #issuer: string;
  #client: string;
  #waiting: Call[] = [];
  #bearer = "";
  #goodUntil = 0;
  #sending?: Promise<void>;
  #closing = new AbortController();

  constructor(issuer: string, clientId: string, clientSecret: string) {
    this.#issuer = issuer;
    this.#client = `Basic ${Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`).toString("base64")}`;
  }

  /** The handler of a tool, whose calls with `token`, of which they use this scope, are reported. */
  reported<F extends (...given: any[]) => any>(token: string, tool: string, scope: string, handler: F) {
    return async (...given: Parameters<F>): Promise<Awaited<ReturnType<F>>> => {
      const [at, begun] = [Date.now(), performance.now()];
      let outcome = "failed";
      try {
        const result = await handler(...given);
        if (!result?.isError) outcome = "succeeded";
        return result;
      } finally {
        // A tool without arguments is called with the context of the request alone.
        this.#note({ token, tool, scope, at, outcome, millis: performance.now() - begun }, given.length > 1 ? given[0] : {});
      }
    };
  }

  #note({ token, tool, scope, at, outcome, millis }: Record<string, any>, given: unknown) {
    const digest = createHash("sha256").update(JSON.stringify(canonical(given))).digest("base64url");
    this.#waiting.push({
      id: randomUUID(), subject_token: token, tool, scope, at_millis: at, outcome, millis: Math.trunc(millis), arguments_sha256: digest,
    });
    if (this.#waiting.length > mostWaiting) this.#waiting.shift();
    this.#sending ??= this.#send().finally(() => (this.#sending = undefined));
  }

  /** Sends what waits, until nothing does. */
  async #send() {
    while (this.#waiting.length) {
      await this.#rest(pauseMillis);
      const batch: Call[] = [];
      for (let size = 0; this.#waiting.length && batch.length < mostCalls; ) {
        size += JSON.stringify(this.#waiting[0]).length;
        if (batch.length && size > mostBytes) break;
        batch.push(this.#waiting.shift()!);
      }
      await this.#deliver(batch);
    }
  }

  /** Sends calls until Writ has them, or says that they are wrong. */
  async #deliver(calls: Call[]): Promise<void> {
    for (let pause = pauseMillis; ; pause = Math.min(2 * pause, longestPause)) {
      try {
        const answer = await this.#post(calls);
        if (answer.ok) return;
        const wrong = answer.status === 400 || answer.status === 413;
        if (wrong && calls.length > 1) {
          // One of them is wrong: the others are not.
          const half = calls.length >> 1;
          await this.#deliver(calls.slice(0, half));
          return this.#deliver(calls.slice(half));
        }
        console.warn(`tool calls are not reported: ${answer.status} ${await answer.text()}`);
        if (wrong) return;
        this.#goodUntil = 0;
      } catch (error) {
        console.warn("tool calls are not reported for now:", error);
      }
      if (this.#closing.signal.aborted) return;
      await this.#rest(pause);
    }
  }

  async #post(calls: Call[]): Promise<Response> {
    const send = (path: string, headers: Record<string, string>, body: URLSearchParams | string) =>
      fetch(`${this.#issuer}/${path}`, { method: "POST", headers, body, signal: AbortSignal.timeout(30_000) });
    if (performance.now() > this.#goodUntil) {
      const form = new URLSearchParams({ grant_type: "client_credentials", resource: `${this.#issuer}/events` });
      const answer = await send("token", { authorization: this.#client }, form);
      if (!answer.ok) throw new Error(`no token for reports: ${answer.status} ${await answer.text()}`);
      const { access_token, expires_in } = await answer.json();
      [this.#bearer, this.#goodUntil] = [`Bearer ${access_token}`, performance.now() + expires_in * 500];
    }
    return send("events", { authorization: this.#bearer, "content-type": "application/json" }, JSON.stringify({ calls }));
  }

  async #rest(millis: number) {
    await sleep(millis, undefined, { signal: this.#closing.signal }).catch(() => {});
  }

  /** Sends what waits, for a last time. */
  async close() {
    this.#closing.abort();
    await Promise.race([this.#sending, sleep(lastMillis)]);
  }
}
