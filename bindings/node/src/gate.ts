/** How many calls of a connection are under way; the others wait for their turn here. Not for users of the package. */

export class Gate {
  private underWay = 0;
  private readonly waiting = new Set<() => void>();

  /** `most` is what the peer takes at once. */
  constructor(private readonly most: number) {}

  /** Takes a place for a call; false when there is none, or others came before. */
  enter(): boolean {
    if (this.underWay >= this.most || this.waiting.size > 0) return false;
    this.underWay++;
    return true;
  }

  /** `start` is called once there is a place, which is taken then. */
  wait(start: () => void): void {
    this.waiting.add(start);
  }

  /** It no longer waits. */
  forget(start: () => void): void {
    this.waiting.delete(start);
  }

  /** A call is over: the one that has waited longest takes its place. */
  leave(): void {
    this.underWay--;
    for (const start of this.waiting) {
      if (this.underWay >= this.most) return;
      this.waiting.delete(start);
      this.underWay++;
      start();
    }
  }
}
