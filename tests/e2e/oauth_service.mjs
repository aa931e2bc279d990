// A service with an authorization server of its own: oidc-provider with refresh tokens that rotate. Who uses one twice ends the grant. Anybody is
// whoever they say, with any password. Usage: node oauth_service.mjs ORIGIN CLIENT_ID CLIENT_SECRET REDIRECT_URI. It runs until its process is ended.
//
// Access tokens of a code live for a second; those of a refresh as long as `PUT /lifetime/{seconds}` said last. `GET /counted` says how often refresh
// tokens were redeemed, how many were used twice, and how many grants were revoked. `/me` is its API.

import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const [origin, clientId, secret, redirectUri] = process.argv.slice(2);
const key = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
const counted = { refreshed: 0, reused: 0, revoked: 0, refused: [] };
let lifetime = 600;

const isRefresh = (ctx) => ctx?.oidc?.params?.grant_type === "refresh_token";

const provider = new Provider(origin, {
  clients: [{
    client_id: clientId,
    client_secret: secret,
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    redirect_uris: [redirectUri],
  }],
  jwks: { keys: [{ ...key, alg: "RS256", use: "sig", kid: "service" }] },
  cookies: { keys: ["a key of tests"] },
  claims: { openid: ["sub"], profile: ["name"] },
  scopes: ["openid", "profile"],
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true }, revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId } },
  issueRefreshToken: (_ctx, client) => client.grantTypeAllowed("refresh_token"),
  rotateRefreshToken: true,
  ttl: { AccessToken: (ctx) => (isRefresh(ctx) ? lifetime : 1) },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, name: `Dr ${id}` }) }),
  // Its own question about the client is not of interest.
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope("openid profile");
    await grant.save();
    return grant;
  },
});

provider.on("grant.success", (ctx) => void (counted.refreshed += isRefresh(ctx) ? 1 : 0));
provider.on("grant.revoked", () => void counted.revoked++);
provider.on("grant.error", (_ctx, error) => {
  counted.refused.push(error.error_detail ?? error.message);
  counted.reused += error.error_detail === "refresh token already used" ? 1 : 0;
});
provider.use(async (ctx, next) => {
  const wanted = /^\/lifetime\/(\d+)$/.exec(ctx.path);
  if (ctx.method === "PUT" && wanted) {
    lifetime = Number(wanted[1]);
    ctx.status = 204;
  } else if (ctx.path === "/counted") {
    ctx.body = counted;
  } else {
    await next();
  }
});

const { hostname, port } = new URL(origin);
provider.listen(Number(port), hostname, () => console.log(`listening at ${origin}`));
