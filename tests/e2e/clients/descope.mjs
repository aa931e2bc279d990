// Makes one call with the Node SDK of Descope. On stdin: {base, project, key, call, arguments}: the base URL, the project, a management key if
// there is one, a method below the client with dots in it, and what it takes. On stdout: {result} or {error}.

import { text } from "node:stream/consumers";
import DescopeClient from "@descope/node-sdk";

const wanted = JSON.parse(await text(process.stdin));
const client = DescopeClient({ projectId: wanted.project, managementKey: wanted.key, baseUrl: wanted.base });
const path = wanted.call.split(".");
const method = path.pop();
const owner = path.reduce((part, name) => part[name], client);
try {
  const result = await owner[method](...wanted.arguments);
  // What is no answer of HTTP, such as a session, has no `ok`.
  const { ok, code, data, error } = result;
  console.log(JSON.stringify({ result: ok === undefined ? result : { ok, code, data, error } }));
} catch (error) {
  console.log(JSON.stringify({ error: String(error) }));
}
