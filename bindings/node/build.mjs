// Builds the package where it lies: the native half with cargo, then TypeScript. RELEASE=1 optimises the native half.
import { execFileSync } from "node:child_process";
import { copyFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const release = Boolean(process.env.RELEASE);
const run = (program, args) => execFileSync(program, args, { cwd: here, stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" });

run("cargo", ["build", "--quiet", "--locked", "--package", "procall-node", ...(release ? ["--release"] : [])]);
const { target_directory: target } = JSON.parse(run("cargo", ["metadata", "--format-version", "1", "--no-deps", "--locked"]));
const built = join(target, release ? "release" : "debug", "libprocall_node.so");
// Renamed into place, so that a process which has the old one loaded keeps it.
copyFileSync(built, join(here, "procall.node.new"));
renameSync(join(here, "procall.node.new"), join(here, "procall.node"));

rmSync(join(here, "dist"), { recursive: true, force: true });
const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
try {
  run(process.execPath, [tsc]);
} catch (error) {
  process.stderr.write(error.stdout ?? String(error));
  process.exit(1);
}
