// How load is made and measured in Node; the same as load.rs.
export async function latency(call, window) {
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

export async function throughput(call, window, inFlight = 64) {
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

export function show([p50_us, p99_us], per_second) {
  console.log(JSON.stringify({ p50_us, p99_us, per_second }));
}
