// The examples of the documentation comments compile, and everything that is exported has one.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import * as procall from "procall";

const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
const root = fileURLToPath(new URL("..", import.meta.url));

/** The examples of all files, each with its place: `pool.ts:153`. */
function examples() {
  const found = [];
  for (const file of readdirSync(join(root, "src"))) {
    const text = readFileSync(join(root, "src", file), "utf8");
    for (const { index, 1: block } of text.matchAll(/^ *\* ```ts\n([^]*?)^ *\* ```$/gm)) {
      found.push({ place: `${file}:${text.slice(0, index).split("\n").length}`, code: block.replace(/^ *\* ?/gm, "") });
    }
  }
  return found;
}

/** What the examples use and do not make. */
const GIVEN = `
declare const calc: import("procall").Client<{ add(a: number, b?: number): number; count(n: number): AsyncGenerator<number> }>;
declare const client: import("procall").Client;
declare const model: import("procall").Client;
declare const pool: import("procall").Pool;
declare function work(step: number): Promise<void>;
`;
const MODULES = {
  "work.mts": "export function hash(text: string): string { return text; }",
  "calc.mts": 'import { service } from "procall"; const calc = service("calc", { add: (a: number, b: number) => a + b, *count(n: number) { yield n; } }); export type Calc = typeof calc;',
};

/** The example as a module, which imports what it names of the package. */
function moduleOf(code, types) {
  const imported = /import \{[^}]*\} from "procall"/.test(code) ? [] : types.filter((name) => new RegExp(`(?<![.\\w])${name}\\b`).test(code));
  const made = new Set(Array.from(code.matchAll(/(?:const|class|type) (\w+)/g), ([, name]) => name));
  const wanted = imported.filter((name) => !made.has(name));
  return `import { ${wanted.join(", ")} } from "procall";\nimport * as z from "zod";\nvoid z;\n${code}\nexport {};\n`;
}

describe("examples", { timeout: 120_000 }, () => {
  const all = examples();
  let project;

  before(() => {
    project = mkdtempSync(join(tmpdir(), "procall-examples-"));
    mkdirSync(join(project, "node_modules"));
    for (const name of ["zod", "@types"]) symlinkSync(join(root, "node_modules", name), join(project, "node_modules", name));
    symlinkSync(root, join(project, "node_modules/procall"));
    writeFileSync(join(project, "given.d.ts"), GIVEN);
    for (const [name, text] of Object.entries(MODULES)) writeFileSync(join(project, name), text);
  });

  after(() => rmSync(project, { recursive: true }));

  it("compile", () => {
    const declared = readFileSync(join(root, "dist/index.d.ts"), "utf8");
    const types = Array.from(declared.matchAll(/export (?:type )?\{([^}]*)\}/g), ([, names]) => names.split(","))
      .flat()
      .map((name) => name.trim().replace(/^type /, ""))
      .filter(Boolean);
    const files = all.map(({ place, code }) => {
      const name = `${place.replace(".ts:", "-")}.mts`;
      writeFileSync(join(project, name), moduleOf(code, types));
      return name;
    });
    assert.ok(files.length > 20);
    const options = ["--noEmit", "--ignoreConfig", "--strict", "--types", "node", "--target", "es2022", "--lib", "es2023,esnext.disposable", "--module", "nodenext"];
    try {
      execFileSync(process.execPath, [tsc, ...options, "given.d.ts", ...files], { cwd: project, encoding: "utf8" });
    } catch (error) {
      assert.fail(error.stdout);
    }
  });

  const text = all.map(({ code }) => code).join("\n");
  for (const name of Object.keys(procall).filter((name) => name !== "default")) {
    // The classes behind what clients are.
    if (["PoolBase", "Mapped", "Stream"].includes(name)) continue;
    it(`show ${name}`, () => assert.match(text, new RegExp(`\\b${name}\\b`)));
  }

  const members = Object.getOwnPropertyNames(procall.PoolBase.prototype).filter((name) => name !== "constructor");
  for (const name of members) it(`show what pools have: ${name}`, () => assert.match(text, new RegExp(`\\bpool\\.${name}\\b`)));
});
