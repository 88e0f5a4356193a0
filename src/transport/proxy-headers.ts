// Reads the PROXY headers of the connections that come from trusted addresses.

import { BlockList, isIP, type Socket } from "node:net";
import { checkNumber, shown } from "../check/check.ts";
import { anything, type OptionTable, optionTable } from "../check/options.ts";
import type { Clock } from "../time/clock.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import { formatAddress } from "./address.ts";
import { remoteAddressOf, setProxied } from "./peer-info.ts";
import { parseProxyHeader } from "./proxy-protocol.ts";
import type { ListenerEvents, ProxyProtocolOptions, ReachedLimit } from "./transport.ts";

/** How long a header may take. A balancer sends it in its first segment. */
const DEFAULT_TIMEOUT_MS = 5_000;

const IPV4_AS_IPV6 = "::ffff:";

export const PROXY_PROTOCOL_OPTIONS: OptionTable = optionTable<ProxyProtocolOptions>(
  "proxyProtocol",
  {
    from: anything,
    timeoutMs: (name, value) => checkNumber(name, value, 1),
  },
  {
    named: (option) => `proxyProtocol.${option}`,
    together: ({ from }) => {
      trustedBy(from);
    },
  },
);

/** Whom to believe. */
interface Trusted {
  readonly addresses: BlockList;
  readonly unix: boolean;
}

function trustedBy(from: unknown): Trusted {
  if (!Array.isArray(from) || from.length === 0) {
    throw new TypeError(
      `proxyProtocol.from: expected the addresses of balancers, as ["10.0.0.0/8", "::1", "unix"], got ${shown(from)}`,
    );
  }
  const addresses = new BlockList();
  for (const each of from) if (each !== "unix") addTo(addresses, each);
  return { addresses, unix: from.includes("unix") };
}

function addTo(addresses: BlockList, given: unknown): void {
  const [host = "", bits, ...more] = typeof given === "string" ? given.split("/") : [];
  const version = isIP(host);
  const highest = version === 4 ? 32 : 128;
  const isPrefix = bits === undefined || (/^[0-9]{1,3}$/.test(bits) && Number(bits) <= highest);
  if (version === 0 || !isPrefix || more.length > 0) {
    throw new TypeError(
      `proxyProtocol.from: expected IP addresses, with /BITS for a network, or "unix", got ${shown(given)}`,
    );
  }
  addresses.addSubnet(host, bits === undefined ? highest : Number(bits), `ipv${version}` as "ipv4");
}

export class ProxyHeaders {
  readonly #trusted: Trusted;
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  readonly #events: ListenerEvents;
  readonly #waiting = new Set<HeaderWait>();

  constructor(options: ProxyProtocolOptions, clock: Clock, events: ListenerEvents) {
    this.#trusted = trustedBy(options.from);
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#clock = clock;
    this.#events = events;
  }

  /**
   * Reads the header of a connection that has to have one. Any other goes on as it is: a header in
   * it is not HTTP/2.
   * @param next is given the socket, from which nothing but the header was taken
   */
  read(socket: Socket, next: (socket: Socket) => void): void {
    if (!this.#isTrusted(socket)) {
      next(socket);
      return;
    }
    const { admission } = this.#events;
    if (admission?.reserve(remoteAddressOf(socket)) === false) {
      socket.destroy();
      return;
    }
    const wait = new HeaderWait(socket, this.#timeoutMs, this.#clock, {
      onHeader: () => {
        this.#waiting.delete(wait);
        admission?.unreserve();
        next(socket);
      },
      onRefused: (peer, rule, limit) => {
        this.#waiting.delete(wait);
        admission?.unreserve();
        if (rule !== undefined) this.#events.onError(new Error(`${peer} ${rule}`), peer, limit);
      },
    });
    this.#waiting.add(wait);
  }

  /** Ends those that wait, with the listening socket. */
  destroyAll(): void {
    for (const wait of [...this.#waiting]) wait.refuse(undefined);
  }

  #isTrusted({ remoteAddress }: Socket): boolean {
    const { addresses, unix } = this.#trusted;
    if (remoteAddress === undefined) return unix;
    // On a socket for both versions.
    const host = remoteAddress.startsWith(IPV4_AS_IPV6)
      ? remoteAddress.slice(IPV4_AS_IPV6.length)
      : remoteAddress;
    return addresses.check(host, isIP(host) === 4 ? "ipv4" : "ipv6");
  }
}

interface HeaderWaitEvents {
  onHeader(): void;
  /** @param rule `undefined` where there is nothing to tell */
  onRefused(peer: string, rule: string | undefined, limit: ReachedLimit | undefined): void;
}

/** One connection whose header has not come as a whole. */
class HeaderWait implements TimerOwner {
  private readonly socket: Socket;
  private readonly peer: string;
  private readonly timeoutMs: number;
  private readonly clock: Clock;
  private readonly events: HeaderWaitEvents;
  private readonly timer: Timer;
  private seen: Buffer = Buffer.alloc(0);
  private isOver = false;

  constructor(socket: Socket, timeoutMs: number, clock: Clock, events: HeaderWaitEvents) {
    this.socket = socket;
    this.peer = remoteAddressOf(socket);
    this.timeoutMs = timeoutMs;
    this.clock = clock;
    this.events = events;
    this.timer = new Timer(this);
    clock.schedule(this.timer, timeoutMs);
    socket.on("data", this.onData).on("error", this.onError).on("close", this.onClose).resume();
  }

  onTimer(): void {
    const limit = { name: "proxyProtocol.timeoutMs", value: this.timeoutMs };
    this.refuse(`did not send its PROXY header within ${limit.value} ms`, limit);
  }

  refuse(rule: string | undefined, limit?: ReachedLimit): void {
    if (this.isOver) return;
    this.leave();
    this.socket.on("error", () => {}).destroy();
    this.events.onRefused(this.peer, rule, limit);
  }

  private readonly onData = (chunk: Buffer): void => {
    this.seen = Buffer.concat([this.seen, chunk]);
    try {
      const header = parseProxyHeader(this.seen);
      if (header === undefined) return;
      this.leave();
      const { socket } = this;
      socket.pause();
      if (header.length < this.seen.length) socket.unshift(this.seen.subarray(header.length));
      if (header.addresses !== undefined) {
        const { source, destination } = header.addresses;
        setProxied(socket, {
          remoteAddress: formatAddress(source),
          localAddress: formatAddress(destination),
          proxyAddress: this.peer,
        });
      }
    } catch (error) {
      this.refuse(`sent no PROXY header: ${(error as Error).message}`);
      return;
    }
    this.events.onHeader();
  };

  private readonly onError = (): void => {};

  /** Balancers look whether somebody listens, and go. */
  private readonly onClose = (): void => {
    this.refuse(
      this.seen.length === 0 ? undefined : "closed the connection within its PROXY header",
    );
  };

  private leave(): void {
    this.isOver = true;
    this.clock.cancel(this.timer);
    const { socket } = this;
    socket.off("data", this.onData).off("error", this.onError).off("close", this.onClose);
  }
}
