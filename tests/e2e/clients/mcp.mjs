// Calls a tool of a protected MCP server with an SDK's own provider, which finds the authorization server by itself.
// On stdin: {sdk: "v1" | "v2", server, issuer, clientId, clientSecret | privateKey + algorithm, scope, tool, arguments}.
// On stdout: {result} or {error}. With `dpop` (v2) it gets a token bound to a key, and answers {tokens}.

import { text } from "node:stream/consumers";

const wanted = JSON.parse(await text(process.stdin));
const { server, issuer, clientId, clientSecret, privateKey, algorithm, scope } = wanted;
const v1 = (path) => import(`@modelcontextprotocol/sdk/client/${path}.js`);
const sdk =
  wanted.sdk === "v2"
    ? await import("@modelcontextprotocol/client")
    : { ...(await v1("index")), ...(await v1("streamableHttp")), ...(await v1("auth")), ...(await v1("auth-extensions")) };

const provider = clientSecret
  ? new sdk.ClientCredentialsProvider({ clientId, clientSecret, scope, expectedIssuer: issuer })
  : new sdk.PrivateKeyJwtProvider({ clientId, privateKey, algorithm, scope, expectedIssuer: issuer });

async function callTool() {
  const client = new sdk.Client({ name: "e2e", version: "1.0.0" });
  await client.connect(new sdk.StreamableHTTPClientTransport(new URL(server), { authProvider: provider }));
  try {
    return await client.callTool({ name: wanted.tool, arguments: wanted.arguments });
  } finally {
    await client.close();
  }
}

async function boundTokens() {
  const session = await sdk.DpopSession.create();
  provider.dpop = () => session;
  await sdk.auth(provider, { serverUrl: server });
  return provider.tokens();
}

try {
  console.log(JSON.stringify(wanted.dpop ? { tokens: await boundTokens() } : { result: await callTool() }));
} catch (error) {
  console.log(JSON.stringify({ error: String(error) }));
}
