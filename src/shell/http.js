// A request and a response in one call each: between WebAssembly and the platform it is the calls that cost.

/** The head of a request in lines: method, URL, declared length, address, the headers of these names. A header that is there begins
 *  with a colon. No value has a line break. */
export function head(request, names) {
  const { headers } = request;
  const line = (name) => {
    const value = headers.get(name);
    return value === null ? "\n" : `\n:${value}`;
  };
  let text = `${request.method}\n${request.url}${line("content-length")}${line("cf-connecting-ip")}`;
  for (const name of names) text += line(name);
  return text;
}

/** Statuses and headers as the platform has them, for the few that most answers have. */
const inits = new Map();
const KEPT = 100;

/** Every header of a request in lines: a name, and then its value. */
export function pairs(headers) {
  let text = "";
  for (const [name, value] of headers) text += `${name}\n${value}\n`;
  return text;
}

const entries = (lines) => {
  const [parts, all] = [lines.split("\n"), []];
  for (let at = 0; at + 1 < parts.length; at += 2) all.push([parts[at], parts[at + 1]]);
  return all;
};

/** A pipe that holds one piece, of a known length or not (-1): its end to read from, and the writer. */
export function pipe(length) {
  const { readable, writable } = length < 0 ? new IdentityTransformStream() : new FixedLengthStream(length);
  const writer = writable.getWriter();
  // Who reads may go at any time: the next write tells.
  writer.closed.catch(() => {});
  return [readable, writer];
}

/** A response of a service: bytes, or a body that is on its way. */
export function streamed(status, lines, body) {
  return new Response(body, { status, headers: entries(lines) });
}

/** Passes a request on. */
export function pass(method, url, lines, body, signal) {
  return fetch(url, { method, headers: entries(lines), body, signal, redirect: "manual", cache: "no-store" });
}

/** A response. Its headers are lines: a name, and then its value. */
export function respond(status, lines, body) {
  const key = `${status} ${lines}`;
  let init = inits.get(key);
  if (init === undefined) {
    const headers = new Headers(entries(lines));
    init = { status, headers };
    // What is for one person alone comes once.
    if (!headers.has("set-cookie") && !headers.has("location")) {
      if (inits.size >= KEPT) inits.clear();
      inits.set(key, init);
    }
  }
  return new Response(body === "" ? null : body, init);
}

/** What a message takes beside its bytes, while it waits. */
const OF_A_MESSAGE = 256;
/** The bytes of a message: a character of a text takes up to two. */
const size = (data) => data.byteLength ?? data.length * 2;

/** One end of a WebSocket. Its messages wait in line to be taken: a text, bytes, or its end as code and reason; `null` where it broke. */
class Line {
  #socket;
  #waiting = [];
  #bytes = 0;
  #wake = () => {};

  constructor(socket, limit) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    const put = (message, length = 0) => {
      const bytes = length + OF_A_MESSAGE;
      this.#bytes += bytes;
      this.#waiting.push([message, bytes]);
      if (this.#bytes > limit) {
        this.#waiting = [[null, 0]];
        this.end(1009, "");
      }
      this.#wake();
    };
    socket.addEventListener("message", ({ data }) => put(data, size(data)));
    socket.addEventListener("close", ({ code, reason }) => put(code === 1006 ? null : [code === 1005 ? 0 : code, reason]));
    socket.addEventListener("error", () => put(null));
    socket.accept();
  }

  /** Resolves once something waits. */
  ready() {
    return new Promise((done) => {
      this.#wake = done;
      if (this.#waiting.length > 0) done();
    });
  }

  /** What waits first; nothing if nothing does. */
  take() {
    const [message, bytes] = this.#waiting.shift() ?? [undefined, 0];
    this.#bytes -= bytes;
    return message;
  }

  send(data) {
    try {
      this.#socket.send(data);
    } catch {
      // The other end has gone, which is the next message.
    }
  }

  /** Closes it, with that code unless it is 0 or none that may be sent. */
  end(code, reason) {
    for (const words of code ? [[code, reason], []] : [[]]) {
      try {
        return this.#socket.close(...words);
      } catch {
        // It is closed, or the code is none that may be sent.
      }
    }
  }
}

export function line(socket, limit) {
  return new Line(socket, limit);
}

/** A response that opens a WebSocket, and this end of it. */
export function upgraded(lines, limit) {
  const [theirs, ours] = Object.values(new WebSocketPair());
  const response = new Response(null, { status: 101, headers: entries(lines), webSocket: theirs });
  return [response, new Line(ours, limit)];
}
