/** What runs in a thread of `offload`: imports the module, and runs its functions one at a time. */

import { parentPort, workerData } from "node:worker_threads";

import type { Done, Work } from "./offload.js";

const { module: source } = workerData as { readonly module: string };
const loaded = import(source) as Promise<Record<string, unknown>>;
// Told to whoever calls.
loaded.catch(() => {});

parentPort?.on("message", async (work: Work) => {
  let done: Done;
  try {
    const functions = await loaded;
    const fn = Object.hasOwn(functions, work.name) ? functions[work.name] : undefined;
    if (typeof fn !== "function") throw new TypeError(`${source} exports no function ${work.name}`);
    done = { id: work.id, value: await (fn as (...args: unknown[]) => unknown)(...work.args) };
  } catch (error) {
    done = failed(work.id, error);
  }
  try {
    parentPort?.postMessage(done);
  } catch (error) {
    // It cannot be cloned. Every text can.
    const { message } = error as Error;
    parentPort?.postMessage(failed(work.id, new TypeError(`what ${work.name} gave cannot leave its thread: ${message}`)));
  }
});

function failed(id: number, error: unknown): Done {
  if (!(error instanceof Error)) return { id, error: { thrown: error } };
  const name = error.name === "Error" ? error.constructor.name : error.name;
  const fields: Record<string, unknown> = {};
  for (const key of Object.keys(error)) {
    try {
      if (key !== "name") fields[key] = structuredClone((error as unknown as Record<string, unknown>)[key]);
    } catch {
      // A field that cannot be cloned stays behind: the others matter.
    }
  }
  return { id, error: { name: String(name), message: String(error.message), stack: String(error.stack), fields } };
}
