// Runs a resolver: its lists are checked, and its defects do not end the process.

import { tell } from "../../check/check.ts";
import { warn } from "../../check/warn.ts";
import { GrpcError, thrownText } from "../../grpc/error.ts";
import { currentScope, type Scope } from "../../observe/scope.ts";
import { errorText } from "../../transport/error-text.ts";
import { ErrorCode } from "../../wire/error-code.ts";
import { connectError } from "../errors/upstream-error.ts";
import { type Address, readAddresses } from "./address-list.ts";
import type { Resolver, ResolverListener } from "./resolver.ts";

/** The user of the addresses. */
export interface AddressOwner {
  /** The backend as messages call it. */
  readonly target: string;
  /** The current list. */
  onAddresses(addresses: readonly Address[]): void;
  /** There is no list, or no new one. @param reason for people */
  onNoAddresses(error: GrpcError, reason: string): void;
}

/** One resolver, from its start to its end. */
export class AddressWatch implements ResolverListener {
  readonly #resolver: Resolver;
  readonly #owner: AddressOwner;
  /** The resolver's work belongs to no single call. */
  readonly #scope: Scope = currentScope();
  #state: "new" | "started" | "closed" = "new";

  constructor(resolver: Resolver, owner: AddressOwner) {
    this.#resolver = resolver;
    this.#owner = owner;
  }

  /** Once. Does nothing after `close`. */
  start(): void {
    // A listener that is told of the new state may have closed the connection.
    if (this.#state === "closed") return;
    this.#state = "started";
    this.#scope.runInAsyncScope(() => {
      try {
        this.#resolver.start(this);
      } catch (error) {
        this.onError(error);
      }
    });
  }

  /** The list may be out of date. Only between `start` and `close`. */
  resolveNow(): void {
    this.#scope.runInAsyncScope(() => {
      tell("resolveNow of a resolver", () => this.#resolver.resolveNow?.());
    });
  }

  close(): void {
    const wasStarted = this.#state === "started";
    this.#state = "closed";
    if (wasStarted) tell("close of a resolver", () => this.#resolver.close?.());
  }

  onAddresses(given: unknown): void {
    if (this.#state === "closed") return;
    let addresses: readonly Address[];
    try {
      addresses = readAddresses(given);
    } catch (error) {
      warn("callback", "a resolver gave addresses that cannot be used", thrownText(error));
      this.onError(error);
      return;
    }
    this.#owner.onAddresses(addresses);
  }

  onError(error: unknown): void {
    if (this.#state === "closed") return;
    const { target } = this.#owner;
    if (error instanceof GrpcError) {
      this.#owner.onNoAddresses(error, error.details);
      return;
    }
    const reason = error instanceof Error ? errorText(error, target) : thrownText(error);
    const message = `${target} not connected: ${reason}`;
    const end = { kind: "connect", code: ErrorCode.NO_ERROR, message, reason } as const;
    this.#owner.onNoAddresses(connectError(target, { ...end, cause: error }), reason);
  }
}
