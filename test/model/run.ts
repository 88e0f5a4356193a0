// One run: replays a list of events in a new world, checks the world after each, and can bring a
// call to its natural end.

import { leftoversOf, violationsOf } from "./checks.ts";
import { eventsOf, type ModelEvent } from "./events.ts";
import { UNREAD_RESPONSE_MS } from "./expectation.ts";
import type { Setting } from "./setting.ts";
import { World } from "./world.ts";

/** More than this many friendly events do not end a call that ends at all. */
const MAX_EPILOGUE = 60;

/**
 * The events by which peers that mean well bring a call to its end, the first that can happen
 * first. Time is not among them: nothing may wait for a deadline.
 */
const FRIENDLY: readonly RegExp[] = [
  /^f\.done$/,
  /^d\.answer$/,
  /\.ready$/,
  /\.credit$/,
  /^c\.end$/,
  /\.headers$/,
  /\.ok$/,
];

export class Run {
  readonly world: World;
  readonly events: readonly ModelEvent[];
  /** The names of the events that have happened. */
  readonly past: string[] = [];
  violations: readonly string[] = [];

  constructor(setting: Setting, events: readonly ModelEvent[] = eventsOf(setting)) {
    this.world = new World(setting);
    this.events = events;
  }

  get hasFailed(): boolean {
    return this.violations.length > 0;
  }

  /** Whether `event` could happen. If so, it has, and the world was checked. */
  async happen(event: ModelEvent): Promise<boolean> {
    const { world } = this;
    if (this.hasFailed || !event.isPossible(world)) return false;
    this.past.push(event.name);
    try {
      event.happen(world);
      await world.settle();
      this.violations = violationsOf(world);
    } catch (error) {
      this.violations = [`thrown: ${error instanceof Error ? error.stack : String(error)}`];
    }
    return true;
  }

  async begin(): Promise<void> {
    for (const name of this.world.setting.begin ?? []) {
      await this.happen(this.events.find((event) => event.name === name)!);
    }
    this.past.length = 0;
  }

  /** The events that can happen now. */
  possible(): ModelEvent[] {
    return this.events.filter((event) => event.isPossible(this.world));
  }

  /** Peers that mean well end the call without waiting for a deadline. Then all is closed. */
  async finish(): Promise<void> {
    const { expected } = this.world;
    if (this.world.stream !== undefined) {
      for (let count = 0; !this.hasFailed && !expected.isOver; count++) {
        const next = this.friendly();
        if (next === undefined || count > MAX_EPILOGUE) {
          this.violations = ["the call hangs: nothing that peers do ends it"];
          break;
        }
        await this.happen(next);
      }
    }
    await this.close();
  }

  private friendly(): ModelEvent | undefined {
    const possible = this.possible();
    for (const pattern of FRIENDLY) {
      const found = possible.find(({ name }) => pattern.test(name));
      if (found !== undefined) return found;
    }
    const { expected, backends } = this.world;
    // A director may want a message, and a conn may wait for its backoff.
    if (expected.director === "pending") return possible.find(({ name }) => name === "c.data");
    const waits = backends.some(({ conn }) => conn.state === "transientFailure");
    return waits ? possible.find(({ name }) => name === "time") : undefined;
  }

  /** Ends every connection. Nothing may be left. */
  async close(): Promise<void> {
    const { world } = this;
    const had = this.violations;
    try {
      if (!world.session.closed) world.session.die();
      for (const { conn } of world.backends) void conn.close();
      await world.settleLast();
      world.clock.advanceTo(world.nowMs() + UNREAD_RESPONSE_MS);
      if (had.length === 0) this.violations = leftoversOf(world);
    } catch (error) {
      this.violations = [...had, `thrown at the end: ${String(error)}`];
    }
    if (this.hasFailed) await world.giveUp();
  }
}
