// The comparison: oidc-provider with its in-memory adapter, issuing the same kind of token as Writ (an ES256 JWT access token for one
// resource, client_credentials), with no policy and no audit. Usage: node server.mjs PORT. Prints one line when it listens, and ends
// when its input does, so that it never outlives its parent.

import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const port = Number(process.argv[2]);
const scope = "mcp:bigquery.read";
const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });

const provider = new Provider(`http://localhost:${port}`, {
  clients: [{
    client_id: "bench",
    client_secret: "bench-secret",
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: "ES256",
    scope,
  }],
  jwks: { keys: [{ ...key, alg: "ES256", use: "sig", kid: "bench" }] },
  scopes: [scope],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_ctx, resource) => ({
        audience: resource,
        scope,
        accessTokenFormat: "jwt",
        accessTokenTTL: 300,
        jwt: { sign: { alg: "ES256" } },
      }),
    },
  },
});

provider.listen(port, "127.0.0.1", () => console.log(`listening on ${port}`));
process.stdin.resume().once("end", () => process.exit());
