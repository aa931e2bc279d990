// Calls a service by its own SDK, whose base URL is a connection behind the proxy and whose credential is the agent's token.
// On stdin: {sdk, url, token}. On stdout: what each call has brought.

import { text } from "node:stream/consumers";

const { sdk, url, token } = JSON.parse(await text(process.stdin));

/** What a refusal says. */
async function refused(call) {
  try {
    return { unexpected: await call };
  } catch (error) {
    const { status, code, data, name, message } = error;
    return { status, code, data, name, message };
  }
}

const sdks = {
  async octokit() {
    const { Octokit } = await import("octokit");
    const octokit = new Octokit({ baseUrl: url, auth: token, log: { debug() {}, info() {}, warn() {}, error() {} } });
    const shop = { owner: "acme", repo: "shop" };
    const titles = await octokit.paginate(octokit.rest.issues.listForRepo, { ...shop, per_page: 2 }, ({ data }) => data.map(({ title }) => title));
    const created = await octokit.rest.issues.create({ ...shop, title: "Written by octokit" });
    const moved = await octokit.rest.repos.get({ owner: "acme", repo: "old" });
    const forbidden = await refused(octokit.rest.repos.delete(shop));
    const missing = await refused(octokit.request("GET /repos/acme/nothing"));
    return {
      titles,
      created: { status: created.status, title: created.data.title, location: created.headers.location },
      moved: { name: moved.data.full_name, url: moved.url, remaining: moved.headers["x-ratelimit-remaining"] },
      forbidden,
      missing,
    };
  },

  async slack() {
    const { WebClient, LogLevel } = await import("@slack/web-api");
    const slack = new WebClient(token, { slackApiUrl: url, retryConfig: { retries: 0 }, logLevel: LogLevel.ERROR });
    const blocks = [{ type: "section", text: { type: "mrkdwn", text: "*oiled*" } }];
    const test = await slack.auth.test();
    const posted = await slack.chat.postMessage({ channel: "C2", text: "Oiled & done = 100 %", blocks });
    const channels = [];
    for await (const page of slack.paginate("conversations.list", { limit: 2 })) channels.push(...page.channels.map(({ name }) => name));
    const nowhere = await refused(slack.chat.postMessage({ channel: "C99", text: "x" }));
    const forbidden = await refused(slack.chat.delete({ channel: "C2", ts: posted.ts }));
    return { user: test.user, scopes: test.response_metadata.scopes, message: posted.message, channels, nowhere, forbidden };
  },

  async openai() {
    const { default: OpenAI } = await import("openai");
    const openai = new OpenAI({ baseURL: url, apiKey: token, maxRetries: 0 });
    const asked = { model: "gpt-x", messages: [{ role: "user", content: "Is the door oiled?" }] };
    const whole = await openai.chat.completions.create(asked);
    const words = [];
    for await (const chunk of await openai.chat.completions.create({ ...asked, stream: true })) {
      const word = chunk.choices[0]?.delta?.content;
      if (word) words.push([word, performance.now()]);
    }
    const models = [];
    for await (const model of openai.models.list()) models.push(model.id);
    const missing = await refused(openai.chat.completions.create({ ...asked, model: "gpt-0" }));
    const forbidden = await refused(openai.files.list());
    const spread = words.at(-1)[1] - words[0][1];
    return { whole: whole.choices[0].message.content, id: whole._request_id, words: words.map(([word]) => word), spread, models, missing, forbidden };
  },
};

console.log(JSON.stringify(await sdks[sdk]()));
