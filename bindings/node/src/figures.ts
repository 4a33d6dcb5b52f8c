/** What can be known of pools, their workers, and calls. */

/** Latencies in milliseconds; all 0 before the first call has ended. */
export interface Latency {
  readonly meanMs: number;
  /** Half of the calls took no longer. */
  readonly p50Ms: number;
  /** 95 of 100 calls took no longer. */
  readonly p95Ms: number;
  /** 99 of 100 calls took no longer. */
  readonly p99Ms: number;
  readonly minMs: number;
  readonly maxMs: number;
}

/** What a client or pool has counted of its calls since it was made. */
export interface Metrics {
  /** Calls that were started, those in progress included. */
  readonly totalRequests: number;
  /** Calls that ended with a result. */
  readonly successfulRequests: number;
  /** Calls that ended with an error, a handler's own included. */
  readonly failedRequests: number;
  /** Calls that this side gave up before they ended, apart from their deadlines. */
  readonly cancelledRequests: number;
  /** Calls in progress, those included that wait. */
  readonly inFlight: number;
  /** The share of the calls that ended well, from 0 to 1; 1 before any has ended. Cancelled calls do not count. */
  readonly successRate: number;
  /** Times from start to end, the wait for a worker or their turn included, of the last 1,024 calls that were not cancelled. */
  readonly latency: Latency;
  /** The mean latency. */
  readonly averageLatencyMs: number;
  /** Calls that wait for a worker of the pool, or for their turn on a connection that carries as many as it may. */
  readonly queueDepth: number;
  /** How often workers were started again; 0 for a single connection. */
  readonly restarts: number;
  /** The last time from ping to pong; of a pool, of whichever worker answered last. `null` before the first. */
  readonly heartbeatRoundTripMs: number | null;
  /** How often a peer fell silent. */
  readonly missedHeartbeats: number;
  /** Attempts after a first one; each is a request of its own in the other counts. */
  readonly retries: number;
}

/** Whether a pool is well. */
export interface Health {
  /** It takes calls and has workers to give them to, some of which may be in trouble; see {@link problems}. */
  readonly healthy: boolean;
  /** The pool takes calls: it is not draining, stopping or closed. */
  readonly open: boolean;
  /** Workers that calls go to. */
  readonly ready: number;
  /** Workers in all. */
  readonly workers: number;
  /** What is wrong, one sentence a worker, such as `calc/2 does not answer`. */
  readonly problems: readonly string[];
  /** All of it in words, such as `2 of 2 workers are ready`. */
  readonly text: string;
}

/** What is known of a worker. */
export interface WorkerInfo {
  /** Its place in the pool, from 0. */
  readonly index: number;
  /** Its name, such as `calc/2`. */
  readonly name: string;
  /** Its process, while there is one. */
  readonly pid: number | undefined;
  readonly state: "starting" | "ready" | "busy" | "draining" | "backoff" | "failed" | "stopped";
  /** Calls it was given, across its restarts. */
  readonly calls: number;
  /** Calls it is busy with, those that nobody waits for any more included. */
  readonly inFlight: number;
  /** How often it was started again. */
  readonly restarts: number;
  /** How its last process ended, such as `was killed by SIGKILL`. */
  readonly lastExit: string | undefined;
  /** How long its present process has been ready. */
  readonly uptimeMs: number | undefined;
  /** The last measured time from ping to pong. */
  readonly roundTripMs: number | undefined;
  /** Its resident memory in bytes; behind a launcher, that of the launcher. */
  readonly memory: number | undefined;
}

/** All that is known of a pool. */
export interface PoolStats {
  /** What was counted of its calls. */
  readonly metrics: Metrics;
  /** Whether it is well. */
  readonly health: Health;
  /** Each of its workers. */
  readonly workers: readonly WorkerInfo[];
}
