// What a transport is given as `tls` when a name was dialled, and what a function gives that cannot
// be used.

import { describe, expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import type { GrpcError } from "../../src/grpc/error.ts";
import { type ClientTlsOptions, currentTls } from "../../src/transport/tls.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { PATH } from "../support/relay-fixture.ts";
import { StubSession } from "../support/stub-session.ts";
import { transportOf } from "../support/transport-of.ts";

/** A connection to a name with one address, and the TLS options that its transport was given. */
function setUp(tls: NonNullable<DialOptions["tls"]>) {
  const given: (ClientTlsOptions | undefined)[] = [];
  const transport = transportOf("stub", {
    connect: (options, listener) => {
      given.push(currentTls(options.tls));
      return new StubSession(listener);
    },
  });
  const start = (listener: { onAddresses(addresses: readonly string[]): void }): void =>
    listener.onAddresses(["10.0.0.1:443"]);
  const target = { name: "orders.test:443", start };
  const conn = dial(target, { transport, tls, clock: new FakeClock() });
  closeAtEnd(() => conn.close());
  return { conn, given };
}

function failureOf(promise: Promise<unknown>): Promise<GrpcError> {
  return promise.then(
    () => expect.fail("expected a failure"),
    (error: GrpcError) => error,
  );
}

describe("the option tls of a name that was dialled", () => {
  it.each<[string, NonNullable<DialOptions["tls"]>, string]>([
    ["no other name", {}, "orders.test"],
    ["a name that is left out", { serverName: undefined } as never, "orders.test"],
    ["another name", { serverName: "other.test" }, "other.test"],
    ["a function", () => ({}), "orders.test"],
    ["a function with another name", () => ({ serverName: "other.test" }), "other.test"],
  ])("with %s checks the certificate for the right one", (_, tls, serverName) => {
    const { conn, given } = setUp(tls);
    conn.connect();
    expect(given).toEqual([{ serverName }]);
  });

  it.each<[string, () => unknown, string]>([
    ["a promise", async () => ({}), "one that returns a promise"],
    ["a promise that fails", () => Promise.reject(new Error("no")), "one that returns a promise"],
    ["nothing", () => undefined, "expected an object, got undefined"],
  ])("as a function that gives %s fails calls with a reason", async (_, tls, message) => {
    const { conn, given } = setUp(tls as never);
    expect((await failureOf(conn.newStream(PATH).trailer())).message).toContain(message);
    expect(given).toEqual([]);
  });
});
