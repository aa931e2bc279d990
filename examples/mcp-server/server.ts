// The same in TypeScript: an MCP server that Writ protects, with a list of notes for each user and a scope for each tool.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { InvalidTokenError } from "@modelcontextprotocol/sdk/server/auth/errors.js";
import { requireBearerAuth } from "@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js";
import express, { type RequestHandler } from "express";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";
import { z } from "zod";
import { Reports } from "./reports.ts";

const dev = join(process.env.WRIT_STATE || fileURLToPath(new URL("../../.writ", import.meta.url)), "dev.json");

/** The issuer of a running `scripts/dev`; where none runs, the one that it has by default. */
function issuerOfDev(): string {
  return existsSync(dev) ? JSON.parse(readFileSync(dev, "utf8")).issuer : "http://localhost:8787/t/main";
}

const issuer = process.env.WRIT_ISSUER || issuerOfDev();
const resource = process.env.RESOURCE ?? "http://localhost:8010/mcp";
const [read, write, del] = ["notes:read", "notes:write", "notes:delete"];
const scopes = new Map([["list_notes", [read]], ["add_note", [read, write]], ["delete_note", [read, del]]]);

const { origin, pathname, port } = new URL(resource);
const metadataPath = `/.well-known/oauth-protected-resource${pathname}`;
const metadata = { resource, authorization_servers: [issuer], scopes_supported: [read, write, del], resource_name: "Notes" };
const keys = createRemoteJWKSet(new URL(`${issuer}/jwks.json`));

async function verifyAccessToken(token: string) {
  try {
    const expected = { issuer, audience: resource, typ: "at+jwt", algorithms: ["ES256"], requiredClaims: ["exp", "sub"] };
    const { payload } = await jwtVerify<Record<string, any>>(token, keys, expected);
    if (payload.cnf) throw new InvalidTokenError("It is bound to a key, and no proof is read here");
    const granted = payload.scope?.split(" ") ?? [];
    return { token, clientId: payload.client_id, scopes: granted, expiresAt: payload.exp, extra: { user: payload.sub } };
  } catch (error) {
    if (!(error instanceof errors.JOSEError) || error instanceof errors.JWKSTimeout) throw error;
    throw new InvalidTokenError("It is forged, expired or for somebody else");
  }
}

/** Lets a request in whose token has these scopes; else the answer is 401, or 403 with the scopes that are needed. */
function bearer(requiredScopes: string[]) {
  return requireBearerAuth({ verifier: { verifyAccessToken }, requiredScopes, resourceMetadataUrl: origin + metadataPath });
}

/** The scopes of the tools that are called. */
function neededBy(body: unknown): string[] {
  const calls = [body].flat().filter((message: any) => message?.method === "tools/call");
  return [...new Set([read, ...calls.flatMap((message: any) => scopes.get(message.params?.name) ?? [])])];
}

const { WRIT_CLIENT_ID, WRIT_CLIENT_SECRET } = process.env;
const reports = WRIT_CLIENT_ID ? new Reports(issuer, WRIT_CLIENT_ID, WRIT_CLIENT_SECRET!) : undefined;
process.on("SIGTERM", async () => {
  await reports?.close();
  process.exit();
});

const notes = new Map<string, Map<number, string>>();
let last = 0;

/** The tools, for the user of one token. */
function tools(token: string, user: string): McpServer {
  const mine = notes.get(user) ?? notes.set(user, new Map()).get(user)!;
  const answer = (value: unknown) => ({ content: [{ type: "text" as const, text: JSON.stringify(value) }] });
  const server = new McpServer({ name: "notes", version: "1.0.0" });
  const tool = (name: string, description: string, inputSchema: Record<string, z.ZodType> | undefined, handler: (given: any) => any) =>
    server.registerTool(name, { description, inputSchema }, (reports ? reports.reported(token, name, scopes.get(name)!.join(" "), handler) : handler) as any);
  tool("list_notes", "All notes, by their numbers.", undefined, () => answer(Object.fromEntries(mine)));
  tool("add_note", "Adds a note, and answers its number.", { text: z.string() }, ({ text }) => {
    mine.set(++last, text);
    return answer(last);
  });
  tool("delete_note", "Deletes a note.", { number: z.number().int() }, ({ number }) => answer(mine.delete(number)));
  return server;
}

const app = express();
app.get(metadataPath, (_, res) => void res.set("access-control-allow-origin", "*").json(metadata));
const stepUp: RequestHandler = (req, res, next) => bearer(neededBy(req.body))(req, res, next);
app.all(pathname, bearer([read]), express.json(), stepUp, async (req, res) => {
  // Stateless: a server and a transport for each request.
  const { token, extra } = (req as any).auth;
  const server = tools(token, extra.user);
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  res.on("close", () => server.close());
  await server.connect(transport);
  await transport.handleRequest(req, res, req.body);
});
app.listen(Number(process.env.PORT ?? port), "localhost", () => console.log(`Notes at ${resource}, for tokens of ${issuer}`));
