// The Node subject of the conformance cases; `spec/scenarios/README.md` says what it does.
// `subject.mjs worker` serves, `subject.mjs caller` obeys the lines of its standard input.
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect, context, Pool, ProcallError, service } from "procall";
import { fill, isFill, lines, say } from "./lines.mjs";

class Failure extends Error {}

const events = new Map();
const record = (token, event) => events.set(token, [...(events.get(token) ?? []), event]);

const methods = {
  empty() {},
  echo: (value) => value,
  "größe.名前": (text) => `größe.名前: ${text}`,
  add: (a, b) => a + b,
  swap(data, size) {
    if (!isFill(data)) throw new Failure("these bytes are not the pattern");
    return fill(size);
  },
  async total(items) {
    let total = 0;
    for await (const item of items) total += item;
    return total;
  },
  async *each(values) {
    yield* values;
  },
  async *mirror(items) {
    yield* items;
  },
  async *after(items) {
    const taken = [];
    for await (const item of items) taken.push(item);
    yield* taken.reverse();
  },
  async *first(items, n) {
    const taken = items[Symbol.asyncIterator]();
    for (let i = 0; i < n; i += 1) yield (await taken.next()).value;
  },
  async *broken(n) {
    for (let i = 0; i < n; i += 1) yield i;
    throw new Failure(`after ${n} items`);
  },
  async *endless(token) {
    events.set(token, [0]);
    try {
      for (let made = 0; ; made += 1) {
        yield made;
        events.set(token, [made + 1]);
      }
    } finally {
      record(token, "cancelled");
    }
  },
  async sleep(token, ms) {
    const { signal } = context();
    record(token, "started");
    try {
      await pause(ms, undefined, { signal });
    } catch (error) {
      record(token, "cancelled");
      throw error;
    }
    record(token, "ended");
    return ms;
  },
  note: (token, event) => void record(token, event),
  happened: (token) => events.get(token) ?? [],
  fail(message) {
    throw new Failure(message);
  },
  bad_result: () => 2n ** 64n,
  large: (size) => fill(size),
  die: (code) => process.exit(code),
  /** Exits when it is called with a token for the first time, whichever worker that was. */
  die_once(token) {
    const mark = join(process.env.SUBJECT_FOLDER, `died ${token}`);
    if (!existsSync(mark)) {
      writeFileSync(mark, "");
      process.exit(1);
    }
    return token;
  },
  steps(n) {
    const ctx = context();
    for (let step = 1; step <= n; step += 1) ctx.progress(step, n, `step ${step}`);
    return n;
  },
  facts() {
    const { method, meta, deadlineMs } = context();
    return { method, meta, remaining_ms: deadlineMs === null ? null : Math.round(deadlineMs) };
  },
  who: () => ({ language: "node", pid: process.pid }),
  /** Calls the method at the last of the targets, through all the others. */
  async hop(targets, method, params) {
    const ctx = context();
    const [target, ...others] = targets;
    const client = await connect(target, { timeoutMs: 20_000, context: ctx });
    try {
      const own = ctx.with(client);
      return others.length > 0 ? await own.call("hop", [others, method, params]) : await own.call(method, params);
    } finally {
      client.close();
    }
  },
};

async function serve() {
  const integer = { type: "integer" };
  const add = { type: "object", properties: { a: integer, b: integer }, required: ["a", "b"], additionalProperties: false };
  const takes = { itemsIn: true };
  const concurrency = process.env.SUBJECT_CONCURRENCY === undefined ? undefined : Number(process.env.SUBJECT_CONCURRENCY);
  const said = { add: { params: add }, total: takes, mirror: takes, after: takes, first: takes };
  await service(process.env.SUBJECT_NAME ?? "subject", methods, { concurrency, methods: said }).run({ name: process.env.SUBJECT_WORKER_NAME });
}

const errorOf = (error) => ({
  code: error.code,
  executed: error.executed,
  message: error.message,
  type: error.remoteType ?? null,
  trace: error.remoteTrace ?? null,
  fields: error.fields.map(({ path }) => path),
  candidates: [...error.candidates],
  retry_after: error.retryAfterMs !== undefined,
});

/** What is sent as the lines say it. */
class Sent {
  #items = [];
  #wake = () => {};
  #over = false;

  send(items) {
    this.#items.push(...items);
    this.#wake();
  }

  finish() {
    this.#over = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      while (this.#items.length > 0) yield this.#items.shift();
      if (this.#over) return;
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }
}

const channels = new Map();
const streams = new Map();
const aborts = new Map();

function optionsOf({ deadline_ms: deadlineMs, key, to, wait, idempotent, meta }) {
  return { deadlineMs, key, to, wait, idempotent, meta };
}

const commands = {
  async connect({ target, as, timeout_ms: timeoutMs = 20_000 }) {
    channels.set(as, await connect(target, { timeoutMs }));
  },
  async pool({ command, as, workers, queue, env }) {
    channels.set(as, await Pool.command(command, { workers, queue, env, showOutput: false }));
  },
  close({ as }) {
    channels.get(as).close();
  },
  async call({ id, on, method, params = [], items, progress, ...rest }) {
    const controller = new AbortController();
    aborts.set(id, controller);
    const reports = [];
    const hear = progress ? ({ done, total, text }) => reports.push([done, total ?? null, text]) : undefined;
    const options = { ...optionsOf(rest), items, progress: hear, signal: controller.signal };
    const result = await channels.get(on).call(method, params, options);
    return progress ? { result, progress: reports } : { result };
  },
  cancel({ call }) {
    aborts.get(call).abort();
  },
  open({ id, on, method, params = [], sends, ...rest }) {
    const sent = sends ? new Sent() : undefined;
    streams.set(id, { sent, stream: channels.get(on).stream(method, params, { ...optionsOf(rest), items: sent }) });
  },
  async next({ call, count = Infinity }) {
    const { stream } = streams.get(call);
    const items = [];
    try {
      while (items.length < count) {
        const { value, done } = await stream.next();
        if (done) return { items, end: true };
        items.push(value);
      }
    } catch (error) {
      if (!(error instanceof ProcallError)) throw error;
      return { items, error: errorOf(error) };
    }
    return { items };
  },
  send({ call, items }) {
    streams.get(call).sent.send(items);
  },
  finish({ call }) {
    streams.get(call).sent.finish();
  },
  async leave({ call }) {
    await streams.get(call).stream.return();
  },
  notify({ on, method, params = [], meta }) {
    channels.get(on).notify(method, params, { meta });
  },
};

async function answer(command) {
  try {
    return (await commands[command.do](command)) ?? {};
  } catch (error) {
    return error instanceof ProcallError ? { error: errorOf(error) } : { broken: String(error) };
  }
}

async function obey() {
  for await (const command of lines()) {
    // Each begins at once, in the order of the lines.
    answer(command).then((said) => say({ id: command.id, ...said }));
  }
  // What is still open ends with the lines.
  process.exit();
}

await (process.argv[2] === "worker" ? serve() : obey());
