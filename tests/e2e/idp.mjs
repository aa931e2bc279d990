// The identity provider of an organisation: oidc-provider with its own pages, on which anybody is whoever they say, with any password.
// Usage: node idp.mjs ORIGIN CLIENT_ID CLIENT_SECRET WRIT_ISSUER. It runs until its process is ended.

import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const [origin, clientId, secret, writ] = process.argv.slice(2);
const key = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });

const provider = new Provider(origin, {
  clients: [{
    client_id: clientId,
    client_secret: secret,
    grant_types: ["authorization_code"],
    response_types: ["code"],
    redirect_uris: [`${writ}/sign-in/callback`],
    backchannel_logout_uri: `${writ}/sign-in/backchannel-logout`,
    backchannel_logout_session_required: true,
  }],
  jwks: { keys: [{ ...key, alg: "RS256", use: "sig", kid: "idp" }] },
  cookies: { keys: ["a key of tests"] },
  acrValues: ["urn:mfa"],
  claims: { acr: null, openid: ["sub"], profile: ["name"], email: ["email"], groups: ["groups"] },
  scopes: ["openid", "profile", "email", "groups"],
  // Writ is on this machine here, where the provider's own dispatcher would not call it.
  fetch: (url, { dispatcher: _, ...options }) => fetch(url, options),
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: true } },
  findAccount: (_ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: `Dr ${id}`, email: `${id}@example.com`, groups: ["staff"] }),
  }),
  // Its own question about the client is not of interest.
  async loadExistingGrant(ctx) {
    // Who is asked for a second factor has one: there is no field for it.
    ctx.oidc.session.acr = ctx.oidc.params.acr_values?.split(" ")[0] ?? ctx.oidc.session.acr;
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope("openid profile email groups");
    await grant.save();
    return grant;
  },
});

provider.on("backchannel.error", (_ctx, error) => console.error("backchannel.error", error));

const { hostname, port } = new URL(origin);
provider.listen(Number(port), hostname, () => console.log(`listening at ${origin}`));
