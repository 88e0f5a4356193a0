// The health of one address (gRFC A17): when a watch is open, what it has told, and when another
// one begins.

import { type GrpcError, thrownText } from "../../grpc/error.ts";
import { type RequestOrigin, requestHeaders } from "../../grpc/request-headers.ts";
import { CONTENT_TYPE_GRPC } from "../../grpc/trailers.ts";
import type { AddressHealth } from "../../observe/channels.ts";
import type { Clock } from "../../time/clock.ts";
import { Timer, type TimerOwner } from "../../time/timer-wheel.ts";
import { unhealthyError } from "../errors/upstream-error.ts";
import {
  ConnectionBackoff,
  type ConnectionBackoffOptions,
} from "../subchannel/connection-backoff.ts";
import type { SideStream } from "../subchannel/side-stream.ts";
import { encodeHealthRequest, SERVING, servingStatusName, WATCH_PATH } from "./health-message.ts";
import type { HealthCheckOptions } from "./health-options.ts";
import { HealthWatch } from "./health-watch.ts";

/** The address, and what the connection says of all of them. */
interface HealthOwner {
  /** The address as text, for messages. */
  readonly target: string;
  readonly clock: Clock;
  readonly random: () => number;
  /** Waits between watches that fail. */
  readonly backoff: ConnectionBackoffOptions;
  /** The fields of requests that name the backend. */
  readonly origin: RequestOrigin;
  /** As `Subchannel.openBeside`. */
  openBeside(side: SideStream): "open" | "full" | "never";
  /** As `Subchannel.wantRoom`. */
  wantRoom(): void;
  /**
   * `health` or `hold` is another. The address is connected.
   * @param reason for people, one line
   * @param error given when the address takes no calls from now on
   */
  onHealth(reason: string, error: GrpcError | undefined): void;
}

/** Why an address that is connected takes no calls. */
export interface HealthHold {
  readonly reason: string;
  /** `undefined` while an answer is awaited: calls wait, as they wait for a connection. */
  readonly error: GrpcError | undefined;
}

/**
 * The stage of the check.
 *
 * - `"off"`: the address is not connected.
 * - `"due"`: a watch begins as soon as a session has room for it.
 * - `"open"`: a watch is under way.
 * - `"backoff"`: the latest watch has failed, and the next one waits.
 * - `"over"`: there is no watch until the address is connected anew.
 */
type Stage = "off" | "due" | "open" | "backoff" | "over";

/**
 * A watch that has answered, and has stood for so long, did work: the next one begins at once. A17
 * has each watch begin at once after one that has answered; a server that answers and ends the call
 * would be asked in a loop.
 */
const WORKING_MS = 10_000;

/**
 * Asks one address for its health as long as it is connected. One watch is open at a time, on the
 * oldest session with room; when that session takes no more calls, the next one takes its place,
 * and meanwhile the last answer holds.
 */
export class HealthCheck implements TimerOwner {
  readonly #owner: HealthOwner;
  readonly #request: Buffer;
  readonly #timeoutMs: number;
  readonly #backoff: ConnectionBackoff;
  /** Until the first answer, or until the backoff is over. */
  readonly #timer: Timer = new Timer(this);
  #stage: Stage = "off";
  #watch: HealthWatch | undefined;
  #openedMs = 0;
  /** The latest watch has answered. */
  #hasAnswered = false;
  #health: AddressHealth = "unknown";
  #hold: HealthHold | undefined;

  constructor(options: HealthCheckOptions, owner: HealthOwner) {
    this.#owner = owner;
    this.#request = encodeHealthRequest(options.serviceName ?? "");
    this.#timeoutMs = options.timeoutMs ?? 20_000;
    this.#backoff = new ConnectionBackoff(owner.backoff, owner.random);
  }

  get health(): AddressHealth {
    return this.#health;
  }

  /** `undefined` while the address may take calls, as far as this knows. */
  get hold(): HealthHold | undefined {
    return this.#hold;
  }

  /** The address is connected. `look` follows. */
  start(): void {
    this.#stage = "due";
    this.#await("its health is not known yet");
  }

  /** The address is not connected any more: its health is forgotten. */
  stop(): void {
    this.#watch?.cancel();
    this.#ended("off");
    this.#health = "unknown";
    this.#hold = undefined;
    this.#backoff.reset();
  }

  /** A session may have room, or allow another number of streams. */
  look(): void {
    const limit = this.#watch?.streamLimit;
    if (limit !== undefined && limit < 2) this.#giveWay();
    if (this.#stage === "due") this.#begin();
  }

  #begin(): void {
    const headers = requestHeaders({
      origin: this.#owner.origin,
      path: WATCH_PATH,
      contentType: CONTENT_TYPE_GRPC,
      remainingMs: Number.POSITIVE_INFINITY,
      metadata: [],
      extraMetadata: undefined,
      authority: undefined,
    });
    const { clock } = this.#owner;
    this.#openedMs = clock.nowMs();
    this.#hasAnswered = false;
    const watch = new HealthWatch(headers, this.#request, {
      nowMs: () => clock.nowMs(),
      onStatus: (status) => this.#onStatus(status),
      onUnimplemented: () => this.#unchecked("the server has no health service (UNIMPLEMENTED)"),
      onFailed: (reason) => this.#onFailed(reason),
      onLeft: () => this.#onLeft(),
    });
    // While the stream is opened, its session may leave, and `look` may be called.
    this.#stage = "open";
    this.#watch = watch;
    clock.schedule(this.#timer, this.#timeoutMs);
    try {
      const answer = this.#owner.openBeside(watch);
      if (answer === "never") this.#unchecked(ONE_STREAM);
      else if (answer === "full") {
        this.#ended("due");
        this.#owner.wantRoom();
      }
    } catch (error) {
      this.#onFailed(`its health is not known: ${thrownText(error)}`);
    }
  }

  onTimer(): void {
    if (this.#stage === "open") {
      this.#watch?.cancel();
      this.#onFailed(`its health is not known: no answer within ${this.#timeoutMs} ms`);
    } else this.#again("its health is asked for again");
  }

  /** @param reason why the answer of the watch before does not hold any more */
  #again(reason: string): void {
    this.#ended("due");
    this.#await(reason);
    this.#owner.onHealth(reason, undefined);
    // Whoever was told may have let the address go.
    this.look();
  }

  #await(reason: string): void {
    this.#health = "unknown";
    this.#hold = { reason, error: undefined };
  }

  #onStatus(status: number): void {
    this.#hasAnswered = true;
    this.#owner.clock.cancel(this.#timer);
    const reason = `its health is ${servingStatusName(status)}`;
    if (status === SERVING) this.#setUsable("serving", reason);
    else this.#setUnusable("notServing", reason);
  }

  #onFailed(reason: string): void {
    const { clock } = this.#owner;
    if (this.#hasAnswered && clock.nowMs() - this.#openedMs >= WORKING_MS) {
      this.#backoff.reset();
      this.#again(reason);
      return;
    }
    this.#ended("backoff");
    clock.schedule(this.#timer, this.#backoff.nextMs());
    this.#setUnusable("failed", reason);
  }

  /** Calls go to the address, although nothing is known of its health. */
  #unchecked(reason: string): void {
    this.#ended("over");
    this.#setUsable("unchecked", reason);
  }

  /** The session of the watch is gone. The last answer holds until the next watch has one. */
  #onLeft(): void {
    this.#ended("due");
  }

  /** The server allows only one stream now: it is for calls. */
  #giveWay(): void {
    this.#watch?.cancel();
    this.#ended("due");
  }

  /** There is no watch any more. */
  #ended(stage: Stage): void {
    this.#owner.clock.cancel(this.#timer);
    this.#watch = undefined;
    this.#stage = stage;
  }

  #setUsable(health: AddressHealth, reason: string): void {
    if (health === this.#health) return;
    this.#health = health;
    this.#hold = undefined;
    this.#owner.onHealth(reason, undefined);
  }

  #setUnusable(health: AddressHealth, reason: string): void {
    if (health === this.#health && reason === this.#hold?.reason) return;
    const error = unhealthyError(this.#owner.target, reason);
    this.#health = health;
    this.#hold = { reason, error };
    this.#owner.onHealth(reason, error);
  }
}

const ONE_STREAM = "its health is not watched: the server allows one stream, which is for calls";
