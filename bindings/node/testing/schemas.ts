// What users of schemas rely on: this file is compiled, never run.
import { connect, method, service } from "procall";
import * as before from "@sinclair/typebox";
import { Type } from "typebox";
import * as z from "zod";

/** Compiles when the two are the same type. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(..._same: Same<A, B> extends true ? [] : [never]): void {}

const point = {
  type: "object",
  properties: {
    x: { type: "number" },
    names: { type: "array", items: { type: "string" } },
    kind: { anyOf: [{ type: "null" }, { enum: ["a", "b"] }] },
    pair: { prefixItems: [{ type: "integer" }, { type: "boolean" }], type: "array" },
  },
  required: ["x", "kind"],
} as const;
interface Point {
  x: number;
  names?: string[];
  kind: "a" | "b" | null;
  pair?: [number, boolean];
}

const schemas = service("schemas", {
  zod: method({ input: z.object({ a: z.number().default(1), b: z.string() }), output: z.array(z.number()) }, ({ a, b }) => {
    same<typeof a, number>();
    return [a, b.length];
  }),
  typebox: method({ input: Type.Object({ a: Type.Number(), b: Type.Optional(Type.Literal("x")) }), output: Type.Integer() }, ({ a, b }) => {
    same<typeof b, "x" | undefined>();
    return a;
  }),
  tuple: method({ input: Type.Tuple([Type.Number(), Type.Array(Type.String())]) }, (a, b) => b.length + a),
  before: method({ input: before.Type.Object({ a: before.Type.Number(), b: before.Type.Optional(before.Type.String()) }) }, ({ a }) => a),
  plain: method({ input: point, output: point }, (given) => {
    same<typeof given, Point>();
    return given;
  }),
  *zodStream() {
    yield* [1, 2];
  },
});

export async function described(): Promise<void> {
  const client = await connect<typeof schemas>("schemas");
  same<typeof client.zod, (given: { a?: number | undefined; b: string }) => Promise<number[]>>();
  same<typeof client.tuple, (a: number, b: string[]) => Promise<number>>();
  same<typeof client.plain, (given: Point) => Promise<Point>>();
  const one: number = await client.typebox({ a: 1 });
  const two: number = await client.before({ a: 1, b: "x" });
  // @ts-expect-error: not the literal
  await client.typebox({ a: 1, b: "y" });
  // @ts-expect-error: a member that is missing
  await client.before({ b: "x" });
  // @ts-expect-error: no such member
  await client.plain({ x: 1, kind: null, z: 1 });
  // @ts-expect-error: what it answers is no text
  method({ output: Type.Number() }, () => "text");
  void [one, two];
}
