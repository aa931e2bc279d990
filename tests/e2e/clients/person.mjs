// A client of a protected MCP server whose user is asked: an SDK's own flow, from the server's URL alone.
// The first line of stdin: {sdk: "v1" | "v2", server, redirect, client}, where `client` is a registration that exists already. Then:
//   {call: tool, arguments}  calls a tool          -> {result} or {error}
//   {lose: "access_token"}   spoils that token, as if it had expired -> {}
//   {tell: true}             -> {tokens, client, asked}: `asked` counts the authorization requests
// Whenever the user is needed it says {open: url}, and reads {url}: where the browser ended.

import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => {
  const { value, done } = await lines.next();
  return done ? undefined : JSON.parse(value);
};
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

const { sdk: version, server, redirect, client: registered } = await read();
const v1 = (path) => import(`@modelcontextprotocol/sdk/client/${path}.js`);
const sdk =
  version === "v2"
    ? await import("@modelcontextprotocol/client")
    : { ...(await v1("index")), ...(await v1("streamableHttp")), ...(await v1("auth")) };

const kept = { client: registered, asked: 0 };
const provider = {
  redirectUrl: redirect,
  clientMetadata: {
    client_name: `e2e ${version}`,
    redirect_uris: [redirect],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  state: () => (kept.state = randomUUID()),
  clientInformation: () => kept.client,
  saveClientInformation: (client) => void (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => void (kept.tokens = tokens),
  codeVerifier: () => kept.verifier,
  saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
  saveDiscoveryState: (state) => void (kept.discovery = state),
  discoveryState: () => kept.discovery,
  redirectToAuthorization: (url) => void (kept.url = url),
  invalidateCredentials(what) {
    if (what === "all" || what === "client") kept.client = registered;
    if (what === "all" || what === "tokens") kept.tokens = undefined;
    if (what === "all" || what === "discovery") kept.discovery = undefined;
  },
};

let client;
let transport;

async function connected() {
  if (client) return client;
  transport = new sdk.StreamableHTTPClientTransport(new URL(server), { authProvider: provider });
  const fresh = new sdk.Client({ name: "e2e", version: "1.0.0" });
  await fresh.connect(transport);
  client = fresh;
  return client;
}

/** Calls, and lets the user in between as often as the SDK asks for them, at most twice. */
async function call(tool, args, asked = 0) {
  try {
    return await (await connected()).callTool({ name: tool, arguments: args });
  } catch (error) {
    if (!(error instanceof sdk.UnauthorizedError) || asked === 2) throw error;
    kept.asked += 1;
    say({ open: String(kept.url) });
    const back = new URL((await read()).url).searchParams;
    if (back.get("state") !== kept.state) throw new Error("the state is another");
    if (version === "v1" && back.has("error")) throw new Error(back.get("error"));
    await transport.finishAuth(version === "v2" ? back : back.get("code"));
    return call(tool, args, asked + 1);
  }
}

for (let wanted; (wanted = await read()); ) {
  try {
    if (wanted.call) say({ result: await call(wanted.call, wanted.arguments) });
    else if (wanted.lose) {
      kept.tokens = { ...kept.tokens, [wanted.lose]: "lost" };
      say({});
    } else say({ tokens: kept.tokens, client: kept.client, asked: kept.asked });
  } catch (error) {
    say({ error: String(error), code: error.errorCode ?? error.code });
  }
}
await client?.close();
