import { describe, expect, it } from "vitest";
import { DialledSource } from "../../../src/client/subchannel/dialled-source.ts";
import type { KeepaliveOptions } from "../../../src/transport/keepalive.ts";
import {
  type ClientSessionListener,
  type ConnectOptions,
  Transport,
} from "../../../src/transport/transport.ts";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { SessionRecorder } from "../../support/recorder.ts";
import { StubSession } from "../../support/stub-session.ts";

/** Keeps what it was asked to connect with. */
class StubTransport extends Transport {
  readonly name = "stub";
  readonly asked: { options: ConnectOptions; listener: ClientSessionListener }[] = [];

  connect(options: ConnectOptions, listener: ClientSessionListener): StubSession {
    this.asked.push({ options, listener });
    return new StubSession(listener);
  }

  listen(): never {
    throw new Error("not asked for");
  }
}

function source(keepalive?: KeepaliveOptions) {
  const transport = new StubTransport();
  const address = { host: "127.0.0.1", port: 1 };
  const given = keepalive === undefined ? {} : { keepalive };
  const dialled = new DialledSource(transport, { address, ...given });
  return {
    connect(): ClientSessionListener {
      dialled.connect(new SessionRecorder("client"));
      return transport.asked.at(-1)?.listener as ClientSessionListener;
    },
    get keepalive(): KeepaliveOptions | undefined {
      return transport.asked.at(-1)?.options.keepalive;
    },
  };
}

describe("the sessions of an address", () => {
  it("ask half as often after each of them that was told too_many_pings, from the next one on", () => {
    const address = source({ intervalMs: 10_000, timeoutMs: 3_000 });
    const first = address.connect();
    expect(address.keepalive).toEqual({ intervalMs: 10_000, timeoutMs: 3_000 });
    first.onGoAway(0, ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings");
    address.connect().onGoAway(0, ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings");
    expect(address.keepalive).toEqual({ intervalMs: 20_000, timeoutMs: 3_000 });
    address.connect();
    expect(address.keepalive).toEqual({ intervalMs: 40_000, timeoutMs: 3_000 });
  });

  it("ask half as often when several of them were told so at once", () => {
    const address = source({ intervalMs: 10_000 });
    for (const session of [address.connect(), address.connect()]) {
      session.onGoAway(0, ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings");
    }
    address.connect();
    expect(address.keepalive).toEqual({ intervalMs: 20_000 });
  });

  it("begin with the default interval", () => {
    const address = source();
    address.connect().onGoAway(0, ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings");
    address.connect();
    expect(address.keepalive).toEqual({ intervalMs: 620_000 });
  });

  it.each([
    [ErrorCode.ENHANCE_YOUR_CALM, "too many resets"],
    [ErrorCode.NO_ERROR, "too_many_pings"],
  ])("ask as often as before after GOAWAY %i %s", (code, debugData) => {
    const address = source();
    address.connect().onGoAway(0, code, debugData);
    address.connect();
    expect(address.keepalive).toBeUndefined();
  });

  it("tell their owner everything", () => {
    const transport = new StubTransport();
    const address = { host: "127.0.0.1", port: 1 };
    const told: string[] = [];
    new DialledSource(transport, { address }).connect({
      onAvailable: () => told.push("available"),
      onGoAway: (...goAway) => told.push(`goaway ${goAway.join(" ")}`),
      onRefused: ({ rule }) => told.push(`refused ${rule}`),
      onClosed: ({ message }) => told.push(`closed ${message}`),
    });
    const listener = transport.asked[0]?.listener;
    listener?.onAvailable();
    listener?.onRefused({ scope: "connection", streamId: 0, rule: "a rule", limit: undefined });
    listener?.onGoAway(7, 0, "bye");
    listener?.onClosed({ kind: "closed", code: 0, message: "drained" });
    expect(told).toEqual(["available", "refused a rule", "goaway 7 0 bye", "closed drained"]);
  });
});
