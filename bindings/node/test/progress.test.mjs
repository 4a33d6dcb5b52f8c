// How far handlers have come, as callers see it.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { describe, it } from "node:test";

import { context } from "procall";

import { serve } from "../testing/serving.mjs";

const { Bar, drawnLine } = createRequire(import.meta.url)("../dist/bar.js");

/** What is written to a terminal. */
function terminal(columns = 80) {
  const out = { columns, written: "", write: (text) => (out.written += text) };
  return out;
}

describe("progress", { timeout: 60_000 }, () => {
  it("is told of calls and of streams", async (t) => {
    const { client } = await serve(t, {
      train(epochs) {
        context().progress(epochs, epochs, "trained");
        return "done";
      },
      *count(n) {
        const ctx = context();
        for (let at = 0; at < n; at++) yield at;
        ctx.progress(n, n);
      },
    });
    const seen = [];
    const progress = (report) => seen.push(report);
    assert.equal(await client.call("train", [3], { progress }), "done");
    assert.deepEqual(seen, [{ done: 3, total: 3, text: "trained" }]);
    const items = [];
    for await (const item of client.stream("count", [5], { progress })) items.push(item);
    assert.deepEqual([items, seen[1]], [[0, 1, 2, 3, 4], { done: 5, total: 5, text: "" }]);
    for (const progress of [true, false]) assert.equal(await client.call("train", [3], { progress }), "done");
    assert.equal(seen.length, 2);
    await assert.rejects(client.call("train", [3], { progress: "yes" }), {
      code: "INVALID_ARGUMENT",
      message: "progress is 'yes': give true for a bar, or a function ({ done, total, text }) => ...",
    });
  });

  it("is a line that says how fast and how long", () => {
    assert.equal(drawnLine(10, 40, "shards", 2), "[########----------------------] 10/40, 2.0 s, 5.0/s, 6 s left, shards");
    assert.equal(drawnLine(40, 40, "", 2), `[${"#".repeat(30)}] 40/40, 2.0 s, 20.0/s`);
    assert.equal(drawnLine(0, 40, "", 0), `[${"-".repeat(30)}] 0/40, 0.0 s`);
    assert.equal(drawnLine(3, undefined, "a\x1b[2Jb\n", 2), "3 done, 2.0 s, 1.5/s, a [2Jb ");
    assert.equal(drawnLine(0, 0, "", 0), `[${"#".repeat(30)}] 0/0, 0.0 s`);
  });

  it("is drawn by one bar at a time, and left as it was last", () => {
    const out = terminal();
    const [first, second] = [new Bar(out, "train"), new Bar(out, "other")];
    first.tell(1, 2);
    second.tell(1, 2);
    first.tell(2, 2, "x".repeat(200));
    first.end();
    second.end();
    const lines = out.written.split("\r").slice(1);
    assert.ok(lines.every((line) => line.startsWith("train [") && line.length <= 80 + "\x1b[K\n".length), out.written);
    assert.match(lines.at(-1), /^train \[#{30}\] 2\/2, .*x\x1b\[K\n$/);
    second.tell(1, 2);
    second.end();
    assert.match(out.written, /\rother \[#{15}-{15}\] 1\/2.*\x1b\[K\n$/);
  });

  it("that never came leaves nothing", () => {
    const out = terminal();
    new Bar(out).end();
    assert.equal(out.written, "");
  });
});
