// The declarations of the package, as users compile against them.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { it } from "node:test";
import { fileURLToPath } from "node:url";

const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
const file = fileURLToPath(new URL("../testing/types.ts", import.meta.url));

for (const [module, resolution] of [["nodenext", "nodenext"], ["esnext", "bundler"]]) {
  it(`the types hold for ${resolution} resolution`, () => {
    const options = ["--noEmit", "--strict", "--ignoreConfig", "--types", "node", "--target", "es2022", "--lib", "es2023,esnext.disposable"];
    const args = [tsc, ...options, "--module", module, "--moduleResolution", resolution, file];
    try {
      execFileSync(process.execPath, args, { cwd: dirname(file), encoding: "utf8" });
    } catch (error) {
      assert.fail(error.stdout);
    }
  });
}
