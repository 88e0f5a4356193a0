// The seam without sockets and wall clock, for tests of everything above it. A test can make one
// delivery at a time. TLS and SETTINGS timeouts are not modelled.

import { Timer } from "../../src/time/timer-wheel.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS, resolveSessionOptions } from "../../src/transport/defaults.ts";
import {
  type ClientSession,
  type ClientSessionListener,
  type ConnectOptions,
  type Listener,
  type ListenerEvents,
  type ListenOptions,
  Transport,
} from "../../src/transport/transport.ts";
import { MemoryNetwork } from "./memory-network.ts";
import { MemorySession } from "./memory-session.ts";

export class MemoryTransport extends Transport {
  readonly name = "memory";
  readonly network: MemoryNetwork;

  constructor(network: MemoryNetwork) {
    super();
    this.network = network;
  }

  connect(options: ConnectOptions, listener: ClientSessionListener): ClientSession {
    const { network } = this;
    const localAddress = formatAddress({ host: "127.0.0.1", port: network.freePort() });
    const remoteAddress = formatAddress(options.address);
    const resolved = resolveSessionOptions(options);
    const peer = { remoteAddress, localAddress };
    const session = new MemorySession("client", peer, network, resolved);
    session.listener = listener;
    const { clock } = resolved;
    const timeoutMs = options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS;
    const timer = new Timer({
      onTimer: () => session.failConnect(`${remoteAddress}: no answer within ${timeoutMs} ms`),
    });
    session.onFinished = () => clock.cancel(timer);
    network.post(() => {
      if (session.closed) return;
      const acceptor = network.acceptorOf(options.address);
      if (acceptor === "silent") clock.schedule(timer, timeoutMs);
      else if (acceptor === undefined) session.failConnect(`${remoteAddress}: connection refused`);
      else if (options.tls !== undefined) session.failConnect("TLS is not modelled");
      else acceptor.accept(session);
    });
    return session;
  }

  async listen(options: ListenOptions, events: ListenerEvents): Promise<Listener> {
    const { network } = this;
    if (options.tls !== undefined) throw new Error("TLS is not modelled");
    if ("fd" in options.address) throw new Error("descriptors are not modelled");
    const resolved = resolveSessionOptions(options);
    const address = network.listen(options.address, {
      accept(client: MemorySession): void {
        const { remoteAddress: localAddress, localAddress: remoteAddress } = client.peer;
        const peer = { remoteAddress, localAddress };
        const session = new MemorySession("server", peer, network, resolved);
        session.other = client;
        client.other = session;
        session.listener = events.onSession(session);
        session.sendSettings();
        client.sendSettings();
      },
    });
    return {
      address,
      setTls(): void {
        throw new Error("TLS is not modelled");
      },
      async close(): Promise<void> {
        network.unlisten(address);
      },
    };
  }
}

/** Transports on the same `network` reach each other. */
export function memoryTransport(network: MemoryNetwork = new MemoryNetwork()): MemoryTransport {
  return new MemoryTransport(network);
}
