// A person's part in a browser, for the tests: Chromium, driven over lines of JSON.
//
// On stdin, one command a line: {id, do, context, …}. On stdout, one answer a line: {id, …} or {id, error}. A `context` is a
// browser of its own, with its own cookies; it is made when it is first named, in the language that `locale` says. Commands:
//
//   open     {url}                                            goes there
//   signin   {provider}                                       presses a button of the sign-in page
//   consent  {scopes?, duration?, decision}                   ticks just these scopes, if any are named, and presses a button
//   submit   {press, fill?}                                   fills fields by their names and presses what matches a selector
//   approve  {url, provider?, scopes?, duration?, decision?}  does all of it, as far as the pages ask for it
//   keyboard {to, key}                                        tabs to what matches a selector, and presses a key that leads to another page
//   look     {}                                               says what is there
//   screenshot {path, width?, dark?}
//   axe      {width?, dark?}                                  the violations of WCAG 2.2 AA that axe-core finds
//   authenticator {}                                        has a device with passkeys from now on, whose owner always agrees
//   until    {leaves}                                         waits until its page is not at a URL with that in it any more
//   cookies  {}
//   close    {}                                               forgets the context
//
// Every command answers what is there after it: {url, status, title, language, heading, text, page, fields, complaints}. `page` is `signin`, `consent` or `other`.
// A redirect to a client on this machine that does not listen ends at an error page of the browser: its `url` is told all the same.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const AXE = createRequire(import.meta.url).resolve("axe-core");
const STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const WITHIN = 15_000;
// The switches without which Chromium looks for its maker, and does not run as root.
const SWITCHES = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const browser = await chromium.launch({
  executablePath: process.env.WRIT_CHROMIUM ?? "/usr/bin/chromium",
  args: SWITCHES,
});
const contexts = new Map();

/** The page of a context, with the last answer to a navigation and what its scripts and its policy complained about. */
async function tab(name = "default", locale = "en-GB") {
  if (contexts.has(name)) return contexts.get(name);
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale, timezoneId: "UTC" });
  context.setDefaultTimeout(WITHIN);
  const page = await context.newPage();
  const it = { context, page, status: 0, arrived: "", complaints: [] };
  page.on("request", (request) => {
    if (request.isNavigationRequest() && request.frame() === page.mainFrame()) Object.assign(it, { arrived: request.url(), status: 0 });
  });
  page.on("response", (response) => {
    if (!response.request().isNavigationRequest() || response.frame() !== page.mainFrame()) return;
    it.status = response.status();
    // To an application of its own scheme: no page follows.
    const location = response.headers().location ?? "";
    if (/^[a-z][a-z0-9+.-]*:/.test(location) && !/^https?:/.test(location)) {
      Object.assign(it, { arrived: location, status: 0 });
      page.emit("left");
    }
  });
  page.on("console", (message) => {
    if (message.type() === "error") it.complaints.push(message.text());
  });
  page.on("pageerror", (error) => it.complaints.push(String(error)));
  contexts.set(name, it);
  return it;
}

/** Does something that leads to another page, and waits until that page is there or its server is not. */
async function going(it, act) {
  const refused = /ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|ERR_UNKNOWN_URL_SCHEME|ERR_ABORTED|ERR_NAME_NOT_RESOLVED|ERR_INTERNET_DISCONNECTED|chrome-error/;
  try {
    await act();
    await it.page.waitForLoadState("load");
  } catch (error) {
    if (!refused.test(String(error))) throw error;
  }
}

/** Acts so that a form is sent. What the page's policy forbids comes to nothing, and is said. */
async function sends(it, act) {
  const framed = it.page.waitForEvent("framenavigated", { predicate: (frame) => frame === it.page.mainFrame(), timeout: WITHIN });
  const moved = Promise.race([framed, new Promise((resolve) => it.page.once("left", resolve))]);
  framed.catch(() => {});
  try {
    await going(it, () => Promise.all([act(), moved]));
  } catch (error) {
    throw new Error(`${error.message} ${it.complaints.join(" ")}`);
  }
}

const press = (it, selector) => sends(it, () => it.page.locator(selector).first().click({ noWaitAfter: true }));

async function look(it) {
  const { page } = it;
  // Without a status the last request was not answered, and the page is still another.
  const here = it.status ? page.url() : it.arrived;
  const seen = await page
    .evaluate(() => {
      const main = document.querySelector("main") ?? document.body;
      const fields = [...document.querySelectorAll("input, select, button")].map((field) => ({
        name: field.name,
        type: field.type,
        value: field.value,
        ...(field.type === "checkbox" || field.type === "radio" ? { checked: field.checked } : {}),
        ...(field.disabled ? { disabled: true } : {}),
        ...(field.tagName === "SELECT" ? { options: [...field.options].map((option) => option.value) } : {}),
        ...(field.tagName === "BUTTON" ? { text: field.innerText.trim() } : {}),
      }));
      return { title: document.title, language: document.documentElement.lang, heading: document.querySelector("h1")?.innerText ?? null, text: main?.innerText ?? "", fields };
    })
    .catch(() => ({ title: "", language: "", heading: null, text: "", fields: [] }));
  const has = (name) => seen.fields.some((field) => field.name === name);
  const kind = has("provider") ? "signin" : has("decision") ? "consent" : "other";
  return { url: here, status: it.status, page: kind, ...seen, complaints: it.complaints.splice(0) };
}

/** Shows the page at a width and in a colour scheme while `act` runs. */
async function shown(it, { width = 1280, dark = false }, act) {
  const before = it.page.viewportSize();
  await it.page.emulateMedia({ colorScheme: dark ? "dark" : "light" });
  await it.page.setViewportSize({ width, height: 900 });
  try {
    return await act();
  } finally {
    await it.page.setViewportSize(before);
    await it.page.emulateMedia({ colorScheme: null });
  }
}

const commands = {
  async open(it, { url }) {
    it.arrived = url;
    await going(it, () => it.page.goto(url));
  },

  async signin(it, { provider = "demo" }) {
    await press(it, `button[name=provider][value="${provider}"]`);
  },

  async consent(it, { scopes, duration, decision = "allow" }) {
    if (scopes) {
      for (const box of await it.page.locator("input[name=scope]").all()) {
        if (await box.isEnabled()) await box.setChecked(scopes.includes(await box.inputValue()));
      }
    }
    if (duration) await it.page.locator("select[name=duration]").selectOption(duration);
    await press(it, `button[name=decision][value="${decision}"]`);
  },

  async submit(it, { fill = {}, press: selector }) {
    for (const [name, value] of Object.entries(fill)) await it.page.locator(`[name="${name}"]`).fill(value);
    await press(it, selector);
  },

  async approve(it, wanted) {
    await commands.open(it, wanted);
    // What a client's own page does with the answer is not of interest.
    if ((await look(it)).page === "signin") await commands.signin(it, wanted);
    if ((await look(it)).page === "consent") await commands.consent(it, wanted);
  },

  async keyboard(it, { to, key }) {
    const here = () => it.page.evaluate((selector) => document.activeElement.matches(selector), to);
    for (let tabs = 0; !(await here()); tabs++) {
      if (tabs === 100) throw new Error(`the keyboard does not reach ${to}`);
      await it.page.keyboard.press("Tab");
    }
    await sends(it, () => it.page.keyboard.press(key));
  },

  async look() {},

  async screenshot(it, { path, ...how }) {
    await shown(it, how, () => it.page.screenshot({ path, fullPage: true, animations: "disabled", caret: "hide" }));
  },

  async axe(it, how) {
    return shown(it, how, async () => {
      // What is folded is judged too.
      await it.page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
      // By the debugger, because the pages let no script in (CSP).
      await it.page.evaluate((await import("node:fs")).readFileSync(AXE, "utf8"));
      const { violations } = await it.page.evaluate((values) => axe.run(document, { runOnly: { type: "tag", values } }), STANDARDS);
      const overflow = await it.page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
      await it.page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = false)));
      const found = violations.map(({ id, impact, help, nodes }) => ({ id, impact, help, nodes: nodes.map(({ html, failureSummary }) => ({ html, failureSummary })) }));
      if (overflow) found.push({ id: "reflow", impact: "serious", help: "The page scrolls sideways", nodes: [] });
      return { violations: found };
    });
  },

  async authenticator(it) {
    const debug = await it.context.newCDPSession(it.page);
    await debug.send("WebAuthn.enable");
    const has = { hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
    await debug.send("WebAuthn.addVirtualAuthenticator", { options: { protocol: "ctap2", transport: "internal", ...has } });
  },

  async until(it, { leaves }) {
    await going(it, () => it.page.waitForURL((url) => !url.href.includes(leaves)));
  },

  async cookies(it) {
    return { cookies: await it.context.cookies() };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: command, context, locale, ...wanted } = JSON.parse(line);
  let answer;
  try {
    if (command === "close") {
      await contexts.get(context ?? "default")?.context.close();
      contexts.delete(context ?? "default");
      answer = {};
    } else {
      const it = await tab(context, locale);
      const more = await commands[command](it, wanted);
      answer = { ...(await look(it)), ...more };
    }
  } catch (error) {
    answer = { error: String(error.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify({ id, ...answer })}\n`);
}
await browser.close();
