// The open calls of a server, and the state that they share.

import type { GrpcError } from "../grpc/error.ts";
import type { Clock } from "../time/clock.ts";
import type { Session } from "../transport/transport.ts";
import { publishEnd } from "./call-events.ts";
import { Leftovers } from "./leftovers.ts";
import type { CallOwner, ServerCall } from "./server-call.ts";

/** After the cut-off the statuses get this long to reach clients that do not read. */
export const LAST_STATUSES_MS = 100;

export class OpenCalls implements CallOwner {
  readonly clock: Clock;
  readonly leftovers: Leftovers = new Leftovers();
  /** Why calls were cut off. A call that still comes is refused before it has begun. */
  cutOff: GrpcError | undefined;
  /** The links of the list lie in the calls, so a new entry allocates nothing. */
  #first: ServerCall | undefined;
  #count = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get count(): number {
    return this.#count;
  }

  add(call: ServerCall): void {
    this.#count++;
    const first = this.#first;
    call.next = first;
    if (first !== undefined) first.previous = call;
    this.#first = call;
  }

  onCallEnd(call: ServerCall): void {
    this.#count--;
    const { previous, next } = call;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next !== undefined) next.previous = previous;
    call.previous = undefined;
    call.next = undefined;
    publishEnd(call);
  }

  /** Ends every call, the leftovers of other calls, and calls that still come. */
  cancelAll(reason: GrpcError): void {
    this.cutOff = reason;
    for (const call of this.#list()) call.cancel(reason);
    this.leftovers.end(reason);
  }

  /** Ends every call on one connection. */
  cancelOn(session: Session, reason: GrpcError): void {
    for (const call of this.#list()) if (call.stream.session === session) call.cancel(reason);
  }

  /** A copy of the list. The end of one call may end another, and break a walk along the links. */
  #list(): ServerCall[] {
    const calls: ServerCall[] = [];
    for (let call = this.#first; call !== undefined; call = call.next) calls.push(call);
    return calls;
  }
}
