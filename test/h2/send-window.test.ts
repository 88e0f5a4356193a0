// The worked example of src/h2/send-window.ts, on a connection.
// What else flow control does is in flow-control.test.ts.

import { expect, it } from "vitest";
import { MAX_WINDOW_BYTES } from "../../src/h2/frame.ts";
import {
  growConnectionWindow,
  growStreamWindow,
  shiftStreamWindow,
} from "../../src/h2/send-window.ts";
import { frames } from "../support/frames.ts";
import { client } from "./wire.ts";

it("a send window that becomes negative lets DATA out when updates have made it positive — §6.9.2", () => {
  const wire = client();
  const { stream } = wire.open();
  expect(stream.sendWindow).toBe(65_535);
  expect(stream.sendData(Buffer.alloc(60_000), false)).toBe(60_000);
  wire.sent();
  expect(stream.sendWindow).toBe(5_535);
  wire.recv(frames.settings({ INITIAL_WINDOW_SIZE: 16_384 }), frames.windowUpdate(0, 60_000));
  expect(stream.sendWindow).toBe(-43_616);
  expect(stream.sendData(Buffer.from("waits"), false)).toBe(0);
  wire.recv(frames.windowUpdate(1, 20_000));
  expect(stream.sendWindow).toBe(-23_616);
  expect(wire.sent()).toEqual(["SETTINGS(ACK)"]);
  wire.recv(frames.windowUpdate(1, 40_000));
  expect(stream.sendWindow).toBe(16_384);
  expect(wire.sent()).toEqual(["DATA(1, 5 bytes)"]);
  expect(stream.sendWindow).toBe(16_379);
});

it("a send window may be as large as 2^31 - 1 and no larger, and the error says whose it is — §6.9.1", () => {
  const connection = { windowBytes: MAX_WINDOW_BYTES - 2 };
  const stream = { id: 1, sendWindow: MAX_WINDOW_BYTES - 2 };
  growConnectionWindow(connection, 2);
  growStreamWindow(stream, 1);
  shiftStreamWindow(stream, 1);
  expect(connection.windowBytes).toBe(MAX_WINDOW_BYTES);
  expect(stream.sendWindow).toBe(MAX_WINDOW_BYTES);
  expect(() => growConnectionWindow(connection, 1)).toThrow("connection window overflow");
  expect(() => growStreamWindow(stream, 1)).toThrow("stream window overflow");
  expect(() => shiftStreamWindow(stream, 1)).toThrow("stream window overflow by SETTINGS");
  expect(connection.windowBytes).toBe(MAX_WINDOW_BYTES);
  expect(stream.sendWindow).toBe(MAX_WINDOW_BYTES);
});
