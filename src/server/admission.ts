// Decides which connections may come in: bounded in number, in number per address, and by the
// user's own rule.

import { shown, tell } from "../check/check.ts";
import { publishRefusal } from "../observe/channels.ts";
import type { Admission, PeerInfo, ReachedLimit } from "../transport/transport.ts";
import type { ResolvedConnectionOptions } from "./connection-options.ts";

export class ConnectionAdmission implements Admission {
  readonly #options: ResolvedConnectionOptions;
  #count = 0;
  readonly #countOf = new Map<string, number>();

  /** @returns `undefined` when every connection may come in */
  static of(options: ResolvedConnectionOptions): ConnectionAdmission | undefined {
    const { maxConnections, maxConnectionsPerClientAddress, acceptConnection } = options;
    const isOpen = maxConnections === Infinity && maxConnectionsPerClientAddress === Infinity;
    return isOpen && acceptConnection === undefined ? undefined : new ConnectionAdmission(options);
  }

  private constructor(options: ResolvedConnectionOptions) {
    this.#options = options;
  }

  admit(peer: PeerInfo): boolean {
    const { maxConnectionsPerClientAddress } = this.#options;
    const host = hostOf(peer);
    const countOfHost = this.#countOf.get(host) ?? 0;
    if (this.#isFull(peer.remoteAddress)) return false;
    if (host !== "" && countOfHost >= maxConnectionsPerClientAddress) {
      const limit = {
        name: "maxConnectionsPerClientAddress",
        value: maxConnectionsPerClientAddress,
      };
      return refuse(peer.remoteAddress, "is one connection too many of its address", limit);
    }
    if (!this.#isAccepted(peer)) {
      return refuse(peer.remoteAddress, "was refused by acceptConnection", undefined);
    }
    this.#count++;
    this.#countOf.set(host, countOfHost + 1);
    return true;
  }

  reserve(remoteAddress: string): boolean {
    if (this.#isFull(remoteAddress)) return false;
    this.#count++;
    return true;
  }

  unreserve(): void {
    this.#count--;
  }

  release(peer: PeerInfo): void {
    const host = hostOf(peer);
    // It was counted when it was admitted.
    const countOfHost = this.#countOf.get(host) as number;
    this.#count--;
    if (countOfHost > 1) this.#countOf.set(host, countOfHost - 1);
    else this.#countOf.delete(host);
  }

  #isFull(remoteAddress: string): boolean {
    const { maxConnections } = this.#options;
    if (this.#count < maxConnections) return false;
    const limit = { name: "maxConnections", value: maxConnections };
    refuse(remoteAddress, "is one connection too many", limit);
    return true;
  }

  #isAccepted(peer: PeerInfo): boolean {
    const { acceptConnection } = this.#options;
    if (acceptConnection === undefined) return true;
    let isAccepted = false;
    tell("acceptConnection", () => {
      const answer: unknown = acceptConnection(peer);
      // Thrown here, for the line that throws makes the kind of a warning.
      if (typeof answer !== "boolean") {
        throw new TypeError(`acceptConnection: expected true or false, got ${shown(answer)}`);
      }
      isAccepted = answer;
    });
    return isAccepted;
  }
}

function refuse(peer: string, rule: string, limit: ReachedLimit | undefined): false {
  publishRefusal("downstream", peer, { scope: "connection", streamId: 0, rule, limit });
  return false;
}

/** The address without its port; empty for a peer without one. */
function hostOf({ remoteAddress }: PeerInfo): string {
  return remoteAddress.startsWith("unix:")
    ? ""
    : remoteAddress.slice(0, Math.max(0, remoteAddress.lastIndexOf(":")));
}
