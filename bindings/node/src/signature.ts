/** What a method takes and gives, as far as a function tells. */

/** What the native half binds arguments with. */
export interface Signature {
  /** Names of the parameters; empty for those that have none. */
  readonly names: readonly string[];
  /** Which of them must be given. */
  readonly required: readonly boolean[];
  /** The only parameter takes a whole object in which no key is its name. */
  readonly takesWhole: boolean;
  /** Any number may follow by position. */
  readonly variadic: boolean;
  /** The function takes one object of all of them: a sole argument that is such an object gives them by name. */
  readonly gathers?: boolean;
}

/** A JSON Schema (2020-12) as a plain object, such as Zod's `toJSONSchema` or TypeBox give. */
export type Schema = Readonly<Record<string, unknown>>;

/** The parameters that a schema of params names: an object with one property a parameter, in the order of `x-order` or of the properties. */
export function signatureOfSchema(schema: Schema): Signature {
  const properties = isObject(schema["properties"]) ? schema["properties"] : {};
  const order = schema["x-order"];
  const names = Array.isArray(order) ? order.map(String) : Object.keys(properties);
  const needed = new Set(Array.isArray(schema["required"]) ? schema["required"].map(String) : []);
  const only = names.length === 1 ? properties[names[0]!] : undefined;
  return { names, required: names.map((name) => needed.has(name)), takesWhole: isObject(only) && only["type"] === "object" && only["x-procall"] === undefined, variadic: false };
}

/** The parameters of a function, read from its source: names where they are plain, and which have no default. */
export function signatureOf(fn: (...args: never[]) => unknown): Signature {
  const parts = parameters(Function.prototype.toString.call(fn)) ?? Array.from({ length: fn.length }, () => "");
  const variadic = parts.at(-1)?.startsWith("...") === true;
  const named = variadic ? parts.slice(0, -1) : parts;
  const names = named.map((part) => /^[\p{ID_Start}$_][\p{ID_Continue}$]*(?=\s*(=|$))/u.exec(part)?.[0] ?? "");
  // A function's length counts the parameters before the first one with a default.
  const required = named.map((part, at) => at < fn.length || !hasDefault(part));
  // Nothing is known of its type, so a sole parameter may well be a struct.
  return { names, required, takesWhole: names.length === 1 && !variadic, variadic };
}

/** The schema that a signature comes to; none when a parameter has no name. With a rest parameter it describes the array of arguments too. */
export function schemaOf({ names, required, variadic }: Signature): Schema | undefined {
  if (names.includes("") || (names.length === 0 && !variadic)) return undefined;
  // An empty `prefixItems` is no schema.
  const prefix = names.length > 0 && { prefixItems: names.map(() => ({})) };
  const places = variadic && { ...prefix, items: true, minItems: required.filter(Boolean).length };
  return {
    type: variadic ? ["object", "array"] : "object",
    ...places,
    properties: Object.fromEntries(names.map((name) => [name, {}])),
    required: names.filter((_, at) => required[at]),
    "x-order": names,
  };
}

/** Whether the text of a parameter ends with a default value: an equals sign outside of all brackets. */
function hasDefault(part: string): boolean {
  let depth = 0;
  for (const letter of part) {
    if ("([{".includes(letter)) depth++;
    else if (")]}".includes(letter)) depth--;
    else if (letter === "=" && depth === 0) return true;
  }
  return false;
}

/** The texts of the parameters of a function's source; `undefined` when they cannot be told, as for native functions. */
function parameters(source: string): string[] | undefined {
  if (/\{\s*\[native code\]\s*\}$/.test(source)) return undefined;
  const bare = source.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, " ");
  const single = /^(?:async\s+)?([\p{ID_Start}$_][\p{ID_Continue}$]*)\s*=>/u.exec(bare);
  if (single !== null) return [single[1]!];
  const open = bare.indexOf("(");
  if (open < 0) return undefined;
  const parts: string[] = [];
  let depth = 0;
  let start = open + 1;
  let quote = "";
  for (let at = open; at < bare.length; at++) {
    const letter = bare[at]!;
    if (quote !== "") {
      if (letter === "\\") at++;
      else if (letter === quote) quote = "";
    } else if ("\"'`".includes(letter)) {
      quote = letter;
    } else if ("([{".includes(letter)) {
      depth++;
    } else if (")]}".includes(letter)) {
      depth--;
      if (depth === 0) {
        parts.push(bare.slice(start, at).trim());
        return parts.filter((part) => part !== "");
      }
    } else if (letter === "," && depth === 1) {
      parts.push(bare.slice(start, at).trim());
      start = at + 1;
    }
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
