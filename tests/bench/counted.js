// The entry module of the counting run: Writ's own, with every call on its D1 databases and KV counted. GET /calls answers the count.

import Writ from "./index.js";

const calls = { DB: 0, KV: 0 };

const counted = (name, binding) => new Proxy(binding, {
  get(target, key) {
    const value = Reflect.get(target, key);
    if (typeof value !== "function" || key === "constructor") return value;
    return (...args) => {
      calls[name] += 1;
      return value.apply(target, args);
    };
  },
});

export default {
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/calls") return Response.json(calls);
    const [DB, AUDIT_DB, KV] = [counted("DB", env.DB), counted("DB", env.AUDIT_DB), counted("KV", env.KV)];
    return Writ.fetch(request, { ...env, DB, AUDIT_DB, KV }, ctx);
  },
};
