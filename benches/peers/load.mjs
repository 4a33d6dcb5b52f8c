// How load is made and measured in Node; the same as the crate benches/load.
const rest = process.argv.slice(2).filter((arg) => !/^(serve|call)-/.test(arg));

// What a script is asked to do: its path, the window in milliseconds, the workload, and the bytes of a payload.
export const path = rest[0];
export const window = Number(rest[1] ?? 0);
export const workload = rest[2] ?? "small";
export const size = workload.startsWith("bytes-") ? Number(workload.slice(6)) : 0;
export const serves = process.argv[2]?.startsWith("serve-") ?? false;
// What a caller is asked for beside the workload.
export const section = process.argv[2]?.split("-")[1];

// What a handler does with a payload: it reads one byte of each page.
export function touch(payload) {
  let sum = 0;
  for (let at = 0; at < payload.length; at += 4096) sum += payload[at];
  return sum;
}

// Where the partner of a caller belongs: the options of `fork` that put it there.
export function placed() {
  const cpu = process.env.PROCALL_BENCH_PARTNER_CPU;
  return cpu ? { execPath: "taskset", execArgv: ["-c", cpu, process.execPath] } : {};
}

export async function latency(call) {
  const warm = process.hrtime.bigint() + BigInt(Math.round(window * 1e5));
  while (process.hrtime.bigint() < warm) await call();
  const micros = [];
  const start = performance.now();
  let before = start;
  while (before - start < window) {
    await call();
    const after = performance.now();
    micros.push((after - before) * 1000);
    before = after;
  }
  micros.sort((a, b) => a - b);
  const at = (part) => micros[Math.floor((micros.length - 1) * part)];
  return [at(0.5), at(0.99)];
}

export async function throughput(call, inFlight = 64) {
  let done = 0;
  const start = performance.now();
  const caller = async () => {
    while (performance.now() - start < window) {
      await call();
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  return (done * 1000) / (performance.now() - start);
}

export function show(figures) {
  console.log(JSON.stringify(figures));
}

// Does a caller's task: `add` adds, `carry` takes a payload to its handler.
export async function run(add, carry) {
  if (size > 0) {
    const payload = Buffer.alloc(size, 1);
    const [p50_us, p99_us] = await latency(() => carry(payload));
    show({ p50_us, p99_us, gb_per_second: size / p50_us / 1000 });
  } else {
    const [p50_us, p99_us] = await latency(add);
    show({ p50_us, p99_us, per_second: await throughput(add) });
  }
}
