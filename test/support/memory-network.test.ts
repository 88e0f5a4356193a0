import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { FakeClock } from "./clock.ts";
import { fieldsOf, message, request } from "./frames.ts";
import { MemoryNetwork } from "./memory-network.ts";
import { memoryTransport } from "./memory-transport.ts";
import { SessionRecorder, StreamRecorder } from "./recorder.ts";

const ADDRESS = { host: "backend.test", port: 50_051 };

async function manualPair() {
  const network = new MemoryNetwork({ manual: true });
  const transport = memoryTransport(network);
  const [client, server] = [new SessionRecorder("client"), new SessionRecorder("server")];
  await transport.listen(
    { address: ADDRESS },
    { onSession: () => server, onError: () => undefined },
  );
  const session = transport.connect({ address: ADDRESS }, client);
  client.attach(session);
  return { network, session, client, server };
}

describe("MemoryNetwork", () => {
  it("delivers nothing by itself in manual mode, one delivery per step", async () => {
    const { network, session, client, server } = await manualPair();
    expect([client.log, network.pendingCount]).toEqual([[], 1]);
    network.deliver();
    expect(client.log).toEqual(["available"]);
    const stream = session.openStream(
      fieldsOf(request("/a/B")),
      false,
      new StreamRecorder("client"),
    );
    stream.sendData(message("abc"), false);
    expect(server.log).toEqual([]);
    expect(network.step()).toBe(true);
    expect(server.log).toEqual(["stream(1) /a/B"]);
    expect(server.streams[0]?.receivedBytes).toBe(0);
    network.step();
    expect(server.streams[0]?.outline).toEqual(["data(8)"]);
    network.deliver();
    expect(network.step()).toBe(false);
  });

  it("cuts a connection: what is under way is lost, both ends are told", async () => {
    const { network, session, client, server } = await manualPair();
    network.deliver();
    const stream = new StreamRecorder("client");
    session.openStream(fieldsOf(request("/a/B")), false, stream);
    network.cut([...network.sessions][0]!);
    network.deliver();
    expect(stream.log).toEqual(["reset(session, NO_ERROR)"]);
    expect(client.log.at(-1)).toBe("closed(socket, NO_ERROR)");
    expect(server.log).toEqual(["closed(socket, NO_ERROR)"]);
    expect(network.sessions.size).toBe(0);
  });

  it("lets connecting to a silenced address time out by the injected clock", () => {
    const network = new MemoryNetwork({ manual: true });
    const clock = new FakeClock();
    const client = new SessionRecorder("client");
    network.silence(ADDRESS);
    memoryTransport(network).connect({ address: ADDRESS, connectTimeoutMs: 100, clock }, client);
    network.deliver();
    clock.advance(100);
    network.deliver();
    expect(client.log).toEqual(["closed(connect, NO_ERROR)"]);
    expect(clock.timerCount).toBe(0);
  });

  it("forgets the timer of a connection that was given up", () => {
    const network = new MemoryNetwork({ manual: true });
    const clock = new FakeClock();
    const client = new SessionRecorder("client");
    network.silence(ADDRESS);
    const session = memoryTransport(network).connect({ address: ADDRESS, clock }, client);
    network.deliver();
    session.destroy(ErrorCode.NO_ERROR, "given up");
    network.deliver();
    expect([client.log, clock.timerCount]).toEqual([["closed(destroyed, NO_ERROR)"], 0]);
  });

  it("refuses a second listener at an address", async () => {
    const transport = memoryTransport();
    const events = { onSession: () => new SessionRecorder("server"), onError: () => undefined };
    await transport.listen({ address: ADDRESS }, events);
    await expect(transport.listen({ address: ADDRESS }, events)).rejects.toMatchObject({
      code: "EADDRINUSE",
    });
  });
});
