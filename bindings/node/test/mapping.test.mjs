// Many calls of a pool: `map` and `batch`.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Bar } from "../dist/bar.js";
import { deferred } from "../testing/serving.mjs";
import { spawn } from "../testing/pooling.mjs";

describe("map", { timeout: 60_000 }, () => {
  it("gives the answers in order, of arguments by position, by name and alone", async (t) => {
    const pool = await spawn(t, { workers: 2 });
    assert.deepEqual(await pool.map("add", [[1, 2], { a: 3, b: 4 }, [5, 6]]).toArray(), [3, 7, 11]);
    assert.deepEqual(await pool.map("echo", ["x", 1n, null, new Uint8Array([1])]).toArray(), ["x", 1, null, new Uint8Array([1])]);
    assert.deepEqual(await pool.map("add", []).toArray(), []);
    const numbers = Array.from({ length: 500 }, (_, at) => [at, 1]);
    assert.deepEqual(await pool.map("add", numbers).toArray(), numbers.map(([at]) => at + 1));
  });

  for (const kind of ["iterable", "async iterable"]) {
    it(`reads no further ahead than told from an ${kind} without end`, async (t) => {
      const pool = await spawn(t);
      const seen = { read: 0, closed: false };
      const endless = {
        iterable: function* () {
          try {
            for (;;) yield [seen.read++, 0];
          } finally {
            seen.closed = true;
          }
        },
        "async iterable": async function* () {
          yield* endless.iterable();
        },
      };
      let taken = 0;
      for await (const answer of pool.map("add", endless[kind](), { lookAhead: 4 })) {
        assert.equal(answer, taken++);
        assert.ok(seen.read <= taken + 4, `${seen.read} read when ${taken} were taken`);
        if (taken === 20) break;
      }
      // An async generator ends its finally a moment later.
      await new Promise(setImmediate);
      assert.ok(seen.closed);
      assert.equal(await pool.call("add", [1, 2]), 3);
    });
  }

  it("begins the calls of slow items while others wait for their answers", async (t) => {
    const lines = [deferred(), deferred()];
    const pool = await spawn(t, { onOutput: ({ text }) => text === "held" && lines.find((line) => !line.done && (line.done = true)).resolve() });
    const second = deferred();
    async function* items() {
      yield [];
      await second.promise;
      yield [];
    }
    const answers = pool.map("held", items());
    const first = answers.next();
    await lines[0].promise;
    second.resolve();
    await lines[1].promise;
    await pool.call("release");
    assert.equal((await first).value, (await answers.next()).value);
    assert.deepEqual(await answers.next(), { value: undefined, done: true });
  });

  it("cancels what is under way when the loop is left early", async (t) => {
    const cancelled = deferred();
    const waiting = deferred();
    const pool = await spawn(t, { onOutput: ({ text }) => (text === "cancelled" ? cancelled.resolve() : text === "waiting" && waiting.resolve()) });
    for await (const _ of pool.map("waitsUnless", [true, false])) {
      await waiting.promise;
      break;
    }
    await cancelled.promise;
  });

  it("gives the answers before an error, and cancels the calls behind it", async (t) => {
    const cancelled = deferred();
    const pool = await spawn(t, { onOutput: ({ text }) => text === "cancelled" && cancelled.resolve() });
    const seen = [];
    const answers = pool.map("failsAt", [0, 1, 2, 3]);
    await assert.rejects(
      async () => {
        for await (const answer of answers) seen.push(answer);
      },
      { code: "HANDLER_ERROR", message: /number 2/ },
    );
    assert.deepEqual(seen, [0, 1]);
    await cancelled.promise;
    assert.deepEqual(await answers.next(), { value: undefined, done: true });
  });

  it("gives the answers before an error of the items", async (t) => {
    const pool = await spawn(t);
    function* broken() {
      yield [1, 2];
      throw new RangeError("out of items");
    }
    const seen = [];
    await assert.rejects(async () => {
      for await (const answer of pool.map("add", broken())) seen.push(answer);
    }, RangeError);
    assert.deepEqual(seen, [3]);
  });

  it("ends when its signal is aborted, with the reason", async (t) => {
    const pool = await spawn(t);
    const controller = new AbortController();
    const answers = pool.map("hang", [[], []], { signal: controller.signal }).toArray();
    setImmediate(() => controller.abort(new Error("enough")));
    const error = await answers.catch((error) => error);
    assert.equal(error.code, "CANCELLED");
    assert.equal(error.cause.message, "enough");
    await assert.rejects(pool.map("add", [[1, 2]], { signal: AbortSignal.abort() }).toArray(), { code: "CANCELLED", executed: "no" });
  });

  it("tells how far it has come", async (t) => {
    const pool = await spawn(t);
    const told = [];
    await pool.map("add", [[1, 2], [3, 4]], { progress: (...at) => told.push(at) }).toArray();
    assert.deepEqual(told, [[0, 2], [1, 2], [2, 2]]);
    let written = "";
    const bar = new Bar({ write: (text) => (written += text) });
    bar.tell(0, 4);
    bar.tell(4, 4);
    bar.end();
    assert.match(written, /\[-{30}\] 0\/4.*\[#{30}\] 4\/4, .*\n$/s);
  });

  it("says what is wrong with its options", async (t) => {
    const pool = await spawn(t);
    assert.throws(() => pool.map("add", 5), { code: "INVALID_ARGUMENT", message: /give an array/ });
    assert.throws(() => pool.map("add", [], { lookAhead: 0 }), { code: "INVALID_ARGUMENT", message: /lookAhead is 0/ });
    await assert.rejects(pool.map("add", [[1, 2]], { progress: "yes" }).toArray(), { code: "INVALID_ARGUMENT", message: /progress is 'yes'/ });
  });
});

describe("batch", { timeout: 60_000 }, () => {
  it("gives every outcome in its place", async (t) => {
    const pool = await spawn(t);
    const outcomes = await pool.batch([["add", [1, 2]], ["throws"], ["calc.add", { a: 3, b: 4 }], ["nothing"]]);
    assert.deepEqual(outcomes.map(({ value, error }) => value ?? error.code), [3, "HANDLER_ERROR", 7, "NOT_FOUND"]);
    const many = await pool.batch(Array.from({ length: 3000 }, (_, at) => ["add", [at, 1]]));
    assert.deepEqual(many.map(({ value }) => value), many.map((_, at) => at + 1));
  });
});
