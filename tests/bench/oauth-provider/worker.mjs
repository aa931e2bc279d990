// The comparison for people's clients: @cloudflare/workers-oauth-provider with an authorization page that always allows.

import OAuthProvider from "@cloudflare/workers-oauth-provider";

const defaultHandler = {
  async fetch(request, env) {
    const asked = await env.OAUTH_PROVIDER.parseAuthRequest(request);
    // Each code is for a user of its own: a second grant of one user would revoke the first.
    const granted = { request: asked, userId: crypto.randomUUID(), metadata: {}, scope: asked.scope, props: { name: "Ada" } };
    const { redirectTo } = await env.OAUTH_PROVIDER.completeAuthorization(granted);
    return new Response(null, { status: 303, headers: { location: redirectTo } });
  },
};

export default new OAuthProvider({
  apiRoute: "/mcp",
  apiHandler: { fetch: () => new Response("{}") },
  defaultHandler,
  authorizeEndpoint: "/authorize",
  tokenEndpoint: "/token",
  clientRegistrationEndpoint: "/register",
  scopesSupported: ["notes:read"],
  resourceMetadata: { resource: "http://localhost:8010/mcp" },
});
