// The authorization code flow of a general OAuth library, with PKCE, and a refresh after it.
// The first line of stdin: {library: "openid-client" | "oauth4webapi", issuer, client, redirect, parameters}. It says {open: url}, reads
// {url}, and says {tokens, refreshed} or {error}.

import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => JSON.parse((await lines.next()).value);
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

const { library, issuer, client, redirect, parameters } = await read();

async function person(url) {
  say({ open: String(url) });
  return new URL((await read()).url);
}

const flows = {
  async "openid-client"() {
    const openid = await import("openid-client");
    const config = await openid.discovery(new URL(issuer), client.client_id, client, openid.None(), {
      algorithm: "oauth2",
      execute: [openid.allowInsecureRequests, openid.enableNonRepudiationChecks],
    });
    const pkceCodeVerifier = openid.randomPKCECodeVerifier();
    const expectedState = openid.randomState();
    const url = openid.buildAuthorizationUrl(config, {
      redirect_uri: redirect,
      code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: "S256",
      state: expectedState,
      ...parameters,
    });
    const back = await person(url);
    const more = parameters.resource ? { resource: parameters.resource } : {};
    const tokens = await openid.authorizationCodeGrant(config, back, { pkceCodeVerifier, expectedState }, more);
    const refreshed = tokens.refresh_token && (await openid.refreshTokenGrant(config, tokens.refresh_token));
    return { tokens, refreshed };
  },

  async oauth4webapi() {
    const oauth = await import("oauth4webapi");
    const http = { [oauth.allowInsecureRequests]: true };
    const url = new URL(issuer);
    const as = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { algorithm: "oauth2", ...http }));
    const verifier = oauth.generateRandomCodeVerifier();
    const state = oauth.generateRandomState();
    const request = new URL(as.authorization_endpoint);
    request.search = new URLSearchParams({
      client_id: client.client_id,
      response_type: "code",
      redirect_uri: redirect,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      state,
      ...parameters,
    });
    const found = oauth.validateAuthResponse(as, client, await person(request), state);
    const auth = oauth.None();
    const answer = await oauth.authorizationCodeGrantRequest(as, client, auth, found, redirect, verifier, http);
    const tokens = await oauth.processAuthorizationCodeResponse(as, client, answer);
    if (!tokens.refresh_token) return { tokens };
    const again = await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, http);
    return { tokens, refreshed: await oauth.processRefreshTokenResponse(as, client, again) };
  },
};

try {
  say(await flows[library]());
} catch (error) {
  say({ error: String(error), code: error.error, cause: String(error.cause?.message ?? error.cause ?? "") });
}
