/** How far something has come, drawn in one line of a terminal. */

const WIDTH = 30;
/** Milliseconds between two drawings: more often, and the terminal is what takes the time. */
const PAUSE_MS = 50;

export class Bar {
  private readonly begun = performance.now();
  private drawn = -Infinity;
  private last = "";

  constructor(private readonly out: { write(text: string): unknown }) {}

  tell(done: number, total: number | undefined): void {
    const seconds = ((performance.now() - this.begun) / 1000).toFixed(1);
    if (total === undefined) {
      this.last = `${done} done, ${seconds} s`;
    } else {
      const part = total === 0 ? 1 : Math.min(1, done / total);
      const filled = Math.round(part * WIDTH);
      this.last = `[${"#".repeat(filled)}${"-".repeat(WIDTH - filled)}] ${done}/${total}, ${seconds} s`;
    }
    if (performance.now() - this.drawn < PAUSE_MS) return;
    this.drawn = performance.now();
    this.out.write(`\r${this.last}\x1b[K`);
  }

  /** The last state stays. */
  end(): void {
    if (this.last !== "") this.out.write(`\r${this.last}\x1b[K\n`);
  }
}
