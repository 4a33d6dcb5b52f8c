// The Node worker: three ways to say what an order is. Another one never reaches a function.
import { method, service } from "procall";
import { Type } from "typebox";
import * as z from "zod";

const told = ({ order: { name, count = 1 } }) => `${count} x ${name}`;

const zod = z.object({ order: z.object({ name: z.string(), count: z.number().int().positive().default(1) }) });

const typebox = Type.Object({
  order: Type.Object({ name: Type.String(), count: Type.Optional(Type.Integer({ minimum: 1 })) }),
});

const schema = {
  type: "object",
  properties: {
    order: { type: "object", properties: { name: { type: "string" }, count: { type: "integer", minimum: 1 } }, required: ["name"] },
  },
  required: ["order"],
};

await service("shop", {
  by_zod: method({ input: zod, output: z.string() }, told),
  by_typebox: method({ input: typebox }, told),
  by_json_schema: method({ input: schema }, told),
}).run();
