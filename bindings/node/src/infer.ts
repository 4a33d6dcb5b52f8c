/** The TypeScript type that a JSON Schema stands for, where its own type has the words of the schema as literals. */

/**
 * What fits the schema `S`: one of TypeBox, or plain JSON Schema that is declared `as const`. `any` where the schema's type does not tell.
 *
 * ```ts
 * const point = { type: "object", properties: { x: { type: "number" } }, required: ["x"] } as const;
 * const origin: Infer<typeof point> = { x: 0 };
 * ```
 */
export type Infer<S> = S extends { readonly static: infer T }
  ? T
  : S extends { readonly const: infer C }
    ? C
    : S extends { readonly enum: readonly (infer E)[] }
      ? E
      : S extends { readonly anyOf: readonly (infer M)[] } | { readonly oneOf: readonly (infer M)[] }
        ? Infer<M>
        : S extends { readonly allOf: infer M extends readonly unknown[] }
          ? All<M>
          : S extends { readonly type: infer T extends string }
            ? string extends T
              ? any
              : OfType<S, T>
            : any;

type OfType<S, T extends string> = T extends keyof Scalars
  ? Scalars[T]
  : T extends "array"
    ? Items<S>
    : T extends "object"
      ? S extends { readonly properties: infer P; readonly required: readonly (infer R)[] }
        ? Members<P, R>
        : S extends { readonly properties: infer P }
          ? Members<P, never>
          : Record<string, any>
      : any;

interface Scalars {
  readonly string: string;
  readonly number: number;
  readonly integer: number;
  readonly boolean: boolean;
  readonly null: null;
}

type Items<S> = S extends { readonly prefixItems: infer M extends readonly unknown[] } | { readonly items: infer M extends readonly unknown[] }
  ? { -readonly [K in keyof M]: Infer<M[K]> }
  : S extends { readonly items: infer I }
    ? Infer<I>[]
    : any[];

type Members<P, R> = Flat<
  { -readonly [K in keyof P as K extends R ? K : never]: Infer<P[K]> } & { -readonly [K in keyof P as K extends R ? never : K]?: Infer<P[K]> }
>;

type All<M extends readonly unknown[]> = M extends readonly [infer First, ...infer Rest] ? Infer<First> & All<Rest> : unknown;

type Flat<T> = { [K in keyof T]: T[K] } & {};
