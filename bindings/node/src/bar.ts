/** How far something has come: told to a function, or drawn in one line of a terminal. */

import { inspect } from "node:util";

import { ProcallError } from "./errors.js";

const WIDTH = 30;
/** Milliseconds between two drawings: more often, and the terminal is what takes the time. */
const PAUSE_MS = 50;

/** Hears how far something has come. */
export interface Reporter {
  tell(done: number, total: number | undefined, text?: string): void;
  end(): void;
}

/** Who is told by an option `progress` that takes `true` for a bar, or what `told` makes a reporter of. */
export function reporterOf<F>(progress: boolean | F | undefined, title: string, form: string, told: (call: F) => Reporter["tell"]): Reporter | undefined {
  if (progress === undefined || progress === false) return undefined;
  if (progress === true) return process.stderr.isTTY ? new Bar(process.stderr, title) : undefined;
  if (typeof progress === "function") return { tell: told(progress), end() {} };
  throw new ProcallError("INVALID_ARGUMENT", `progress is ${inspect(progress, { depth: 0 })}: give true for a bar, or a function ${form} => ...`);
}

/** There is one line to draw on: while a bar has it, others draw nothing. */
let drawing: Bar | undefined;

export class Bar implements Reporter {
  private readonly begun = performance.now();
  private drawn = -Infinity;
  private last = "";

  constructor(
    private readonly out: { write(text: string): unknown; readonly columns?: number },
    private readonly title = "",
  ) {}

  tell(done: number, total: number | undefined, text = ""): void {
    if (drawing !== undefined && drawing !== this) return;
    drawing = this;
    const line = `${this.title === "" ? "" : `${this.title} `}${drawnLine(done, total, text, (performance.now() - this.begun) / 1000)}`;
    // A terminal that has to wrap the line cannot take it away again.
    this.last = line.slice(0, (this.out.columns ?? 80) - 1);
    if (performance.now() - this.drawn < PAUSE_MS) return;
    this.drawn = performance.now();
    this.out.write(`\r${this.last}\x1b[K`);
  }

  /** The last state stays. */
  end(): void {
    if (drawing === this) drawing = undefined;
    if (this.last !== "") this.out.write(`\r${this.last}\x1b[K\n`);
    this.last = "";
  }
}

/** The line after so many seconds. */
export function drawnLine(done: number, total: number | undefined, text: string, seconds: number): string {
  const rate = seconds > 0 ? done / seconds : 0;
  const pace = rate > 0 ? `, ${rate.toFixed(1)}/s` : "";
  // What others say must not act on the terminal.
  const said = text === "" ? "" : `, ${text.replace(/[\p{Cc}\p{Cf}]/gu, " ")}`;
  if (total === undefined) return `${done} done, ${seconds.toFixed(1)} s${pace}${said}`;
  const part = total === 0 ? 1 : Math.min(1, done / total);
  const filled = Math.round(part * WIDTH);
  const left = rate > 0 && done < total ? `, ${Math.ceil((total - done) / rate)} s left` : "";
  return `[${"#".repeat(filled)}${"-".repeat(WIDTH - filled)}] ${done}/${total}, ${seconds.toFixed(1)} s${pace}${left}${said}`;
}
