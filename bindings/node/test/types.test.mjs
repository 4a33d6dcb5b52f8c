// The declarations of the package, as users compile against them: in a project of their own that has the package in `node_modules`.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
const root = fileURLToPath(new URL("..", import.meta.url));
const STRICT = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--skipLibCheck", "false"];
const USUAL = ["--noEmit", "--ignoreConfig", "--types", "node", "--target", "es2022", "--lib", "es2023,esnext.disposable"];

describe("types", { timeout: 120_000 }, () => {
  let project;

  before(() => {
    project = mkdtempSync(join(tmpdir(), "procall-types-"));
    mkdirSync(join(project, "node_modules/@sinclair"), { recursive: true });
    for (const name of ["zod", "typebox", "@sinclair/typebox", "@types"]) symlinkSync(join(root, "node_modules", name), join(project, "node_modules", name));
    symlinkSync(root, join(project, "node_modules/procall"));
    for (const kind of ["mts", "cts"]) {
      for (const name of ["types", "schemas"]) copyFileSync(join(root, `testing/${name}.ts`), join(project, `${name}.${kind}`));
    }
  });

  after(() => rmSync(project, { recursive: true }));

  for (const [kind, module, resolution] of [
    ["mts", "node16", "node16"],
    ["cts", "node16", "node16"],
    ["mts", "nodenext", "nodenext"],
    ["cts", "nodenext", "nodenext"],
    ["mts", "esnext", "bundler"],
    ["mts", "preserve", "bundler"],
    ["cts", "preserve", "bundler"],
  ]) {
    it(`hold in .${kind} with ${module} and ${resolution} resolution`, () => {
      const files = [`types.${kind}`];
      // TypeBox can only be imported, and before `nodenext` what is required cannot import.
      if (!(kind === "cts" && module === "node16")) files.push(`schemas.${kind}`);
      const args = [tsc, ...USUAL, ...STRICT, "--module", module, "--moduleResolution", resolution, ...files];
      try {
        execFileSync(process.execPath, args, { cwd: project, encoding: "utf8" });
      } catch (error) {
        assert.fail(error.stdout);
      }
    });
  }
});
