// The Node worker as a TypeScript program, for the launchers that run such.
const worker: Promise<unknown> = import("./worker.mjs" as string);
await worker;
