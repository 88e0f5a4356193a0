// The worked example of src/h2/recv-window.ts, on a connection.
// What else flow control does is in flow-control.test.ts.

import { expect, it } from "vitest";
import { recvOnConnection, recvOnStream } from "../../src/h2/recv-window.ts";
import { frames } from "../support/frames.ts";
import { server } from "./wire.ts";

it("a receive window that becomes negative comes back as its owner acknowledges — §6.9.2", () => {
  const wire = server({ handshake: false, streamWindowBytes: 10_000 });
  wire.recv(frames.preface(), frames.settings());
  const { stream } = wire.request();
  wire.sent();
  const numbers = (): number[] => [
    stream.recvWindow,
    stream.unacknowledgedBytes,
    stream.creditBytes,
  ];
  expect(numbers()).toEqual([65_535, 0, 0]);
  wire.recv(frames.data(1, Buffer.alloc(15_000)), frames.data(1, Buffer.alloc(15_000)));
  expect(numbers()).toEqual([35_535, 30_000, 0]);
  wire.recv(frames.settingsAck());
  expect(numbers()).toEqual([-20_000, 30_000, 0]);
  stream.acknowledge(4_000);
  expect(numbers()).toEqual([-20_000, 26_000, 4_000]);
  expect(wire.sent()).toEqual([]);
  stream.acknowledge(26_000);
  expect(numbers()).toEqual([10_000, 0, 0]);
  expect(wire.sent()).toEqual(["WINDOW_UPDATE(1, 30000)"]);
});

it("a stream of the time after the acknowledgement begins with the window that was announced", () => {
  for (const streamWindowBytes of [10_000, 100_000]) {
    expect(server({ streamWindowBytes }).request().stream.recvWindow).toBe(streamWindowBytes);
  }
});

it("a window larger than the default is there before its acknowledgement, and stays as it is with it", () => {
  const wire = server({ handshake: false, streamWindowBytes: 100_000 });
  wire.recv(frames.preface(), frames.settings());
  const { stream } = wire.request();
  expect(stream.recvWindow).toBe(100_000);
  wire.recv(frames.settingsAck());
  expect(stream.recvWindow).toBe(100_000);
});

it("credit of less than half a window waits as long as the peer has something left to send with", () => {
  const wire = server({ streamWindowBytes: 1_000 });
  const { stream } = wire.request();
  wire.recv(frames.data(1, Buffer.alloc(400)));
  stream.acknowledge(400);
  wire.recv(frames.data(1, Buffer.alloc(599)));
  expect([stream.recvWindow, stream.creditBytes]).toEqual([1, 400]);
  expect(wire.sent()).toEqual([]);
  wire.recv(frames.data(1, "x"));
  expect(wire.sent()).toEqual(["WINDOW_UPDATE(1, 400)"]);
});

it("DATA may use up a receive window and no more, and the error says which — §6.9.1", () => {
  const connection = {
    windowBytes: 100,
    creditBytes: 0,
    connectionWindowBytes: 1_000,
    receivedBytes: 0,
  };
  expect(recvOnConnection(connection, 100)).toBe(0);
  expect(connection).toMatchObject({ windowBytes: 0, creditBytes: 100 });
  expect(() => recvOnConnection(connection, 1)).toThrow("DATA beyond the window of the connection");
  const stream = {
    id: 1,
    windowBytes: 100,
    receivedBytes: 0,
    recvWindow: 100,
    unacknowledgedBytes: 0,
    creditBytes: 0,
  };
  recvOnStream(stream, 100, 90);
  expect(stream).toMatchObject({ recvWindow: 0, unacknowledgedBytes: 90 });
  expect(() => recvOnStream(stream, 1, 1)).toThrow("DATA beyond the stream window");
});
