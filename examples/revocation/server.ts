// A resource that answers with the claims of the caller's token: the lines to put around one of your own.

import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Signals } from "./signals.ts";
import { type Claims, requireToken, Writ } from "./writ.ts";

const dev = join(process.env.WRIT_STATE || fileURLToPath(new URL("../../.writ", import.meta.url)), "dev.json");

/** The issuer of a running `scripts/dev`; where none runs, the one that it has by default. */
function issuerOfDev(): string {
  return existsSync(dev) ? JSON.parse(readFileSync(dev, "utf8")).issuer : "http://localhost:8787/t/main";
}

const resource = process.env.RESOURCE ?? "http://localhost:8000/mcp";
const writ = new Writ(process.env.WRIT_ISSUER || issuerOfDev(), resource);
const { WRIT_CLIENT_ID, WRIT_CLIENT_SECRET } = process.env;
if (WRIT_CLIENT_ID) {
  const signals = new Signals(writ, WRIT_CLIENT_ID, WRIT_CLIENT_SECRET!);
  writ.signals = signals;
  signals.listen();
}

const guard = requireToken(writ);
const server = createServer((req, res) => {
  guard(req, res, () => {
    const { claims } = req as typeof req & { claims: Claims };
    res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(claims));
  });
});
server.listen(Number(process.env.PORT ?? new URL(resource).port), "localhost");
console.log(`${resource} ${writ.signals ? "with" : "without"} signals`);
