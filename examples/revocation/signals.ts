/**
 * Hears of revocations as they happen: `session-revoked` events (CAEP 1.0), fetched by RFC 8936. Optional beside `writ.ts`.
 *
 * What is known is kept in memory. A process that starts anew knows nothing of what was revoked before; the status list does,
 * but for single tokens, which `admin/kill` and the revocation endpoint stop. Each process needs a client of its own, because
 * an event is handed out once.
 */

import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { type Claims, get, Refused, type Writ } from "./writ.ts";

const SESSION_REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const POLL = "urn:ietf:rfc:8936";
const LONGEST_LIFE = 3600;
const LEEWAY = 30;

type Subject = Record<string, any>;

/** The event stream of one client, which is a `resource_server` and may ask for `{issuer}/ssf`. */
export class Signals {
  #writ: Writ;
  #clientId: string;
  #clientSecret: string;
  #known: { subject: Subject; until: number }[] = [];

  constructor(writ: Writ, clientId: string, clientSecret: string) {
    this.#writ = writ;
    this.#clientId = clientId;
    this.#clientSecret = clientSecret;
  }

  revoked(claims: Claims): boolean {
    return this.#known.some(({ subject, until }) => claims.iat! <= until && matches(subject, claims));
  }

  /** Takes events for as long as it runs. */
  async listen(): Promise<never> {
    for (;;) {
      try {
        await this.#session();
      } catch (error) {
        console.warn(`no revocation events for now: ${error}`);
        await pause(1000);
      }
    }
  }

  /** Takes events for half as long as an access token lives. */
  async #session(): Promise<void> {
    const { url, token, lifetime } = await this.#stream();
    let settled = {};
    for (const until = performance.now() + lifetime * 500; performance.now() < until; ) {
      // Is answered as soon as there is something, or after some seconds with nothing.
      const { sets } = await call(url, token, settled);
      const ack: string[] = [];
      const setErrs: Record<string, object> = {};
      for (const [jti, event] of Object.entries<string>(sets)) {
        try {
          this.#take(await this.#writ.decode(event, "secevent+jwt", { audience: this.#clientId }));
          ack.push(jti);
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          setErrs[jti] = { err: "authentication_failed", description: error.message };
        }
      }
      settled = { ack, setErrs };
    }
  }

  /** Where to fetch, with what, and for how long; makes the stream if there is none. */
  async #stream() {
    const { issuer } = this.#writ;
    const basic = Buffer.from(`${this.#clientId}:${this.#clientSecret}`).toString("base64");
    const form = new URLSearchParams({ grant_type: "client_credentials", resource: `${issuer}/ssf` });
    const granted = await request(`${issuer}/token`, { method: "POST", headers: { authorization: `Basic ${basic}` }, body: form });
    const token: string = granted.access_token;
    let [stream] = await call(`${issuer}/ssf/streams`, token);
    stream ??= await call(`${issuer}/ssf/streams`, token, { delivery: { method: POLL }, events_requested: [SESSION_REVOKED] });
    return { url: stream.delivery.endpoint_url as string, token, lifetime: granted.expires_in as number };
  }

  #take({ sub_id, events }: Claims) {
    const revoked = events[SESSION_REVOKED];
    if (revoked) this.#known.push({ subject: sub_id, until: revoked.event_timestamp });
    const oldest = Date.now() / 1000 - LONGEST_LIFE - LEEWAY; // older tokens have expired
    this.#known = this.#known.filter(({ until }) => until > oldest);
  }
}

async function request(url: string, options: RequestInit): Promise<any> {
  const send = options.method === "POST" ? fetch : get;
  const answer = await send(url, { ...options, redirect: "error", signal: AbortSignal.timeout(30_000) });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.json();
}

function call(url: string, token: string, body?: object): Promise<any> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  return request(url, body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers });
}

/** Whether a token is one of those that an event is about (RFC 9493, SSF 1.0 §3). */
function matches(subject: Subject, claims: Claims): boolean {
  if (subject.format === "iss_sub") return subject.iss === claims.iss && subject.sub === claims.sub;
  if (subject.format === "jwt_id") {
    // The token, or one that it was made from.
    const digest = createHash("sha256").update(subject.jti).digest("base64url");
    return subject.iss === claims.iss && (subject.jti === claims.jti || (claims.lineage ?? []).includes(digest));
  }
  if (subject.format !== "complex") return false;
  const { format: _, tenant, application, ...parts } = subject;
  const acts = application === undefined || actors(claims).includes(application.id);
  return tenant?.id === claims.tenant && acts && Object.values(parts).every((part) => matches(part, claims));
}

/** Everybody who has a hand in a token: its client, and who acts for its subject. */
function actors(claims: Claims): string[] {
  const found = [claims.client_id];
  for (let act = claims.act; act; act = act.act) found.push(act.sub);
  return found;
}
