/**
 * Verifies access tokens offline, and refuses those that have been revoked. Copy it beside your Express or node:http server.
 *
 * Whether a token was revoked before it expires stands in the issuer's status list (draft-ietf-oauth-status-list): one small
 * download for all tokens, good for its `ttl`. Where no list can be had the answer is 503: a token whose state is unknown is
 * not accepted. `signals.ts` hears of revocations sooner, and of those of single tokens.
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import { inflateSync } from "node:zlib";
import { createRemoteJWKSet, customFetch, errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from "jose";

const MOST_BYTES = 1 << 20;
const BROKEN = ["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"];

export type Claims = JWTPayload & Record<string, any>;

/** The token is not valid here. */
export class Refused extends Error {}

/** A status list: until when it is good, how many bits an entry has, and the entries. */
type List = { until: number; bits: number; states: Buffer };

/** One issuer, as the resource server of `audience` sees it. */
export class Writ {
  readonly issuer: string;
  readonly audience: string;
  signals?: { revoked(claims: Claims): boolean };
  #keys: ReturnType<typeof createRemoteJWKSet>;
  #lists = new Map<string, Promise<List>>();

  constructor(issuer: string, audience: string) {
    this.issuer = issuer;
    this.audience = audience;
    this.#keys = createRemoteJWKSet(new URL(`${issuer}/jwks.json`), { [customFetch]: get });
  }

  /** The claims of an access token that holds now. */
  async verify(token: string): Promise<Claims> {
    const requiredClaims = ["exp", "iat", "sub", "client_id", "jti"];
    const claims = await this.decode(token, "at+jwt", { requiredClaims, audience: this.audience });
    if (this.signals?.revoked(claims)) throw new Refused("it has been revoked");
    if ((await this.#status(claims)) !== 0) throw new Refused("it has been revoked or suspended");
    return claims;
  }

  /** The claims of anything that the issuer has signed. */
  async decode(token: string, typ: string, expected: JWTVerifyOptions): Promise<Claims> {
    const always = { typ, issuer: this.issuer, algorithms: ["ES256", "RS256"], clockTolerance: 30 };
    try {
      return (await jwtVerify(token, this.#keys, { ...always, ...expected })).payload;
    } catch (error) {
      const unavailable = ["ERR_JWKS_TIMEOUT", "ERR_JOSE_GENERIC"];
      if (!(error instanceof errors.JOSEError) || unavailable.includes(error.code)) throw error;
      throw new Refused("it is forged, expired or for somebody else");
    }
  }

  /** What the status list says: 0 valid, 1 revoked, 2 suspended. */
  async #status(claims: Claims): Promise<number> {
    const { idx, uri } = claims.status?.status_list ?? {};
    if (!Number.isSafeInteger(idx) || !uri?.startsWith(`${this.issuer}/`)) {
      throw new Refused("it has no place in a status list of its issuer");
    }
    const { bits, states } = await this.#list(uri);
    const at = Math.floor((idx * bits) / 8);
    if (at < 0 || at >= states.length) throw new Refused("its status list has no such place");
    return (states[at] >> ((idx * bits) % 8)) & ((1 << bits) - 1);
  }

  /** The list of now. Requests that come while it is fetched wait for the same one. */
  async #list(uri: string): Promise<List> {
    const known = this.#lists.get(uri);
    if (known && performance.now() < (await known).until) return known;
    if (this.#lists.get(uri) === known) {
      const fetched = this.#fetch(uri);
      fetched.catch(() => this.#lists.delete(uri));
      this.#lists.set(uri, fetched);
    }
    return this.#lists.get(uri)!;
  }

  async #fetch(uri: string): Promise<List> {
    const asked = performance.now();
    const headers = { accept: "application/statuslist+jwt" };
    const answer = await get(uri, { headers, redirect: "error", signal: AbortSignal.timeout(30_000) });
    if (!answer.ok) throw new Error(`the status list: ${answer.status}`);
    const { ttl, status_list } = await this.decode(await answer.text(), "statuslist+jwt", { subject: uri });
    const states = inflateSync(Buffer.from(status_list.lst, "base64url"), { maxOutputLength: MOST_BYTES });
    return { until: asked + ttl * 1000, bits: status_list.bits, states };
  }
}

/** A GET, sent once more if its connection broke: a server may close an idle one just when it is used again. */
export async function get(url: string, options: RequestInit): Promise<Response> {
  try {
    return await fetch(url, options);
  } catch (error: any) {
    if (!BROKEN.includes(error.cause?.code)) throw error;
    return fetch(url, options);
  }
}

/** Middleware as Express calls it: lets no request in without a token that holds, and leaves its claims in `req.claims`. */
export function requireToken(writ: Writ) {
  return async (req: IncomingMessage & { claims?: Claims }, res: ServerResponse, next: () => void) => {
    const [, token] = /^bearer +(\S+)$/i.exec(req.headers.authorization ?? "") ?? [];
    if (!token) return res.writeHead(401, { "www-authenticate": "Bearer" }).end();
    try {
      const claims = await writ.verify(token);
      // Worth nothing without a proof of the key (DPoP), which is not read here.
      if (claims.cnf) throw new Refused("it is bound to a key");
      req.claims = claims;
    } catch (error) {
      if (!(error instanceof Refused)) return res.writeHead(503).end();
      const challenge = `Bearer error="invalid_token", error_description="${error.message}"`;
      return res.writeHead(401, { "www-authenticate": challenge }).end();
    }
    next();
  };
}
