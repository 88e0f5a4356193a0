// Events that are published while a test runs, and warnings of the process.

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type {
  AddressStateEvent,
  CallEndEvent,
  ConnStateEvent,
  DetachedEndEvent,
} from "../../src/observe/channels.ts";
import { closeAtEnd } from "./cleanup.ts";

function published<Event>(channel: string): Event[] {
  const events: Event[] = [];
  const take = (event: unknown): void => {
    events.push(event as Event);
  };
  subscribe(channel, take);
  closeAtEnd(async () => {
    unsubscribe(channel, take);
  });
  return events;
}

/** The calls that end from now on. */
export function callEnds(): CallEndEvent[] {
  return published("grpc-relay:call:end");
}

/** The detached destinations that end from now on. */
export function detachedEnds(): DetachedEndEvent[] {
  return published("grpc-relay:detached:end");
}

/** The changes of connections from now on. */
export function connStates(): ConnStateEvent[] {
  return published("grpc-relay:conn:state");
}

/** The changes of addresses from now on. */
export function addressStates(): AddressStateEvent[] {
  return published("grpc-relay:address:state");
}

/** The warnings of the process from now on. */
export function warnings(): Error[] {
  const given: Error[] = [];
  const take = (warning: Error): void => {
    given.push(warning);
  };
  process.on("warning", take);
  closeAtEnd(async () => {
    process.off("warning", take);
  });
  return given;
}
