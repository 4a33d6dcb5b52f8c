import { connect, service } from "procall";

const calc = service("calc", { add: (a: number, b: number) => a + b });
export const sum: Promise<number> = connect<typeof calc>("calc").then((client) => client.add(1, 2));
