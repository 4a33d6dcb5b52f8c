import { connect, service } from "procall";

const calc = service("calc", { add: (a: number, b: number) => a + b });
export const sum: number = await (await connect<typeof calc>("calc")).add(1, 2);
