// Writ in bare workerd: the queue takes everything and keeps nothing, and the databases are asked over loopback, which a warm isolate
// never does. The classes have the names by which the platform crate knows its bindings.

import writ from "./index.js";

class WorkerQueue {
  async send() {}
  async sendBatch() {}
}

class D1PreparedStatement {
  constructor(database, sql, values = []) {
    Object.assign(this, { database, sql, values });
  }
  bind(...values) {
    return new D1PreparedStatement(this.database, this.sql, values);
  }
}

class D1Database {
  constructor(url, name) {
    Object.assign(this, { url, name });
  }
  prepare(sql) {
    return new D1PreparedStatement(this, sql);
  }
  async batch(statements) {
    const body = JSON.stringify(statements.map(({ sql, values }) => ({ sql, values })));
    return (await fetch(`${this.url}/d1/${this.name}`, { method: "POST", body })).json();
  }
}

class KvNamespace {
  async get() {
    return null;
  }
  async put() {}
  async delete() {}
}

let bindings;

export default {
  fetch(request, env, ctx) {
    bindings ??= {
      ...env,
      AUDIT: new WorkerQueue(),
      KV: new KvNamespace(),
      DB: new D1Database(env.STORAGE, "DB"),
      AUDIT_DB: new D1Database(env.STORAGE, "AUDIT_DB"),
    };
    return writ.fetch(request, bindings, ctx);
  },
};
