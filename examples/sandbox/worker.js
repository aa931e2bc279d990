// Runs what an agent has written. Whatever that code calls goes to Writ, which adds the credential of the service, or refuses.
//
//   POST /    Authorization: Basic with the agent's client_id and client_secret; the body is a module whose default export has `fetch`

import { WorkerEntrypoint } from "cloudflare:workers";

/** What `fetch` of the code leads to. The code sees neither these props nor the token. */
export class Egress extends WorkerEntrypoint {
  async fetch(request) {
    const token = await tokenOf(this.ctx.props.agent, this.env.ISSUER);
    const passed = new Request(request);
    passed.headers.set("writ-subject-token", token ?? "");
    return this.env.WRIT.fetch(passed);
  }
}

export default {
  async fetch(request, env, ctx) {
    const agent = request.headers.get("authorization");
    if (request.method !== "POST") return new Response("POST a module\n", { status: 405 });
    if (!agent || !(await tokenOf(agent, env.ISSUER))) return new Response("authenticate as the agent\n", { status: 401 });
    const worker = env.LOADER.load({
      compatibilityDate: "2026-07-30",
      mainModule: "agent.js",
      modules: { "agent.js": await request.text() },
      globalOutbound: ctx.exports.Egress({ props: { agent } }),
    });
    return worker.getEntrypoint().fetch("https://agent/");
  },
};

/** Tokens by what the agents authenticate with, until shortly before they expire. */
const tokens = new Map();

/** A token of the agent for connections; nothing if it is none of the issuer's. */
async function tokenOf(agent, issuer) {
  const known = tokens.get(agent);
  if (known?.until > Date.now()) return known.token;
  const answer = await fetch(`${issuer}/token`, {
    method: "POST",
    headers: { authorization: agent },
    body: new URLSearchParams({ grant_type: "client_credentials", resource: `${issuer}/connections`, scope: "connections:use" }),
  });
  if (!answer.ok) return undefined;
  const { access_token: token, expires_in: seconds } = await answer.json();
  if (tokens.size > 100) tokens.clear();
  tokens.set(agent, { token, until: Date.now() + (seconds - 30) * 1000 });
  return token;
}
