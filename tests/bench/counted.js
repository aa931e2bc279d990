// The entry module of the counting run: Writ's own, with every call on its D1 databases and KV counted, and what
// they are given in characters. GET /calls answers the counts.

import Writ from "./index.js";

const calls = { DB: 0, KV: 0, written: 0 };

const counted = (name, binding) => new Proxy(binding, {
  get(target, key) {
    const value = Reflect.get(target, key);
    if (typeof value !== "function" || key === "constructor") return value;
    return (...args) => {
      calls[name] += 1;
      if (key === "put") calls.written += String(args[1]).length;
      const result = value.apply(target, args);
      if (key === "prepare" && !args[0].startsWith("SELECT")) countValues(result);
      return result;
    };
  },
});

/** Counts what a statement is bound to. */
function countValues(statement) {
  const bind = statement.bind.bind(statement);
  statement.bind = (...values) => {
    for (const value of values) if (typeof value === "string") calls.written += value.length;
    return bind(...values);
  };
}

export default {
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/calls") return Response.json(calls);
    const [DB, AUDIT_DB, KV] = [counted("DB", env.DB), counted("DB", env.AUDIT_DB), counted("KV", env.KV)];
    return Writ.fetch(request, { ...env, DB, AUDIT_DB, KV }, ctx);
  },
};
