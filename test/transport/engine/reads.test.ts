// How the engine reads: plain sockets into one buffer for all, others into memory of their own; and
// what a read is followed by.

import { connect as connectSocket, Socket } from "node:net";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { engineTransport } from "../../../src/transport/engine/index.ts";
import { acceptedBy, SocketReader } from "../../../src/transport/engine/socket-reader.ts";
import { memoryStays } from "../../../src/wire/lent-bytes.ts";
import { fieldsOf, frames, request, response, trailers } from "../../support/frames.ts";
import type { StreamRecorder } from "../../support/recorder.ts";
import { type Contract, clientToScript, open, scriptToServer } from "../contract/harness.ts";

const ENGINE: Contract = { makeTransport: () => engineTransport(), sockets: true, weaker: {} };
const BODY: Buffer = Buffer.alloc(40_000, "relay");

/** Whether anything was written to the client at `remotePort` since the last `forget`. */
function watchWrites(remotePort: number | undefined): {
  readonly seen: () => boolean;
  readonly forget: () => void;
} {
  const writes = vi.spyOn(Socket.prototype, "write");
  onTestFinished(() => {
    writes.mockRestore();
  });
  return {
    seen: () => writes.mock.contexts.some((socket) => (socket as Socket).remotePort === remotePort),
    forget: () => writes.mockClear(),
  };
}

/** Whether the chunks that `recorder` is given are lent, told once `BODY` is there. */
async function lent(recorder: StreamRecorder, send: () => void): Promise<boolean[]> {
  const seen: boolean[] = [];
  const onData = recorder.onData.bind(recorder);
  recorder.onData = (chunk, endStream) => {
    seen.push(!memoryStays(chunk));
    onData(chunk, endStream);
  };
  send();
  await recorder.until("the body", () => recorder.receivedBytes === BODY.length || undefined);
  expect(recorder.body.equals(BODY)).toBe(true);
  return seen;
}

async function lentOnBothSides(): Promise<boolean[]> {
  const server = await scriptToServer(ENGINE);
  server.peer.send(frames.headers(1, request("/a/B")));
  const asked = await server.events.nextStream();
  const ofServer = await lent(asked, () => server.peer.send(...dataOf(1)));
  const client = await clientToScript(ENGINE);
  const call = open(client);
  client.peer.send(frames.headers(1, response()));
  const ofClient = await lent(call, () => client.peer.send(...dataOf(1)));
  return [...ofServer, ...ofClient];
}

function dataOf(streamId: number): ReturnType<typeof frames.data>[] {
  return [0, 1, 2].map((i) => frames.data(streamId, BODY.subarray(i * 15_000, (i + 1) * 15_000)));
}

describe("reads", () => {
  it("of plain sockets lend what is long", async () => {
    expect(await lentOnBothSides()).toContain(true);
  });

  it("give memory of its own to each chunk where the system reads by itself, as Windows does", async () => {
    const platform = vi.spyOn(process, "platform", "get").mockReturnValue("win32");
    onTestFinished(() => {
      platform.mockRestore();
    });
    const seen = await lentOnBothSides();
    expect(seen.length).toBeGreaterThan(1);
    expect(seen).not.toContain(true);
  });

  it("stay as they are where a socket has no handle that can be moved", () => {
    const closed = new Socket();
    expect(acceptedBy(new SocketReader(), closed)).toBe(undefined);
    expect(closed.destroyed).toBe(false);
    const connecting = connectSocket({ path: "/nowhere" }).on("error", () => {});
    Reflect.set(connecting, "_handle", { close: () => {} });
    expect(acceptedBy(new SocketReader(), connecting)).toBe(undefined);
    expect(connecting.destroyed).toBe(false);
    Reflect.set(connecting, "_handle", null);
    connecting.destroy();
  });

  it("are followed by the writes that are worth it, and the turn by the rest", async () => {
    const end = await scriptToServer(ENGINE);
    const streams: StreamRecorder[] = [];
    for (const id of [1, 3]) {
      end.peer.send(frames.headers(id, request("/a/B")));
      const recorder = await end.events.nextStream();
      recorder.stream.sendHeaders(fieldsOf(response()), false);
      streams.push(recorder);
      await end.peer.expectHeaders(id);
    }
    const writes = watchWrites(end.peer.socket.localPort);
    for (const [i, replyBytes, early] of [
      [0, 40_000, true],
      [1, 1_000, false],
    ] as const) {
      const recorder = streams[i] as StreamRecorder;
      const atEndOfRead = new Promise<boolean>((resolve) => {
        const onData = recorder.onData.bind(recorder);
        recorder.onData = (chunk, endStream) => {
          onData(chunk, endStream);
          recorder.stream.sendData(Buffer.alloc(replyBytes), false);
          writes.forget();
          queueMicrotask(() => resolve(writes.seen()));
        };
      });
      end.peer.send(frames.data(recorder.stream.id, Buffer.from("ask")));
      expect(await atEndOfRead).toBe(early);
      await end.peer.expectBytes(recorder.stream.id, replyBytes);
    }
  });

  it("are followed by the write of a lone call, unless others wait for the end of the turn, too", async () => {
    const [end, other] = [await scriptToServer(ENGINE), await scriptToServer(ENGINE)];
    other.peer.send(frames.headers(1, request("/a/B")));
    const elsewhere = await other.events.nextStream();
    const writes = watchWrites(end.peer.socket.localPort);
    const answered = async (id: number, meanwhile: () => void): Promise<boolean> => {
      end.peer.send(frames.headers(id, request("/a/B")));
      const recorder = await end.events.nextStream();
      const { stream } = recorder;
      const onData = recorder.onData.bind(recorder);
      const atEndOfRead = new Promise<boolean>((resolve) => {
        recorder.onData = (chunk, endStream) => {
          onData(chunk, endStream);
          stream.sendHeaders(fieldsOf(response()), false);
          stream.sendTrailers(fieldsOf(trailers(0)));
          meanwhile();
          writes.forget();
          queueMicrotask(() => resolve(writes.seen()));
        };
      });
      end.peer.send(frames.data(id, Buffer.from("ask")).end());
      const wasWritten = await atEndOfRead;
      await end.peer.expectHeaders(id);
      return wasWritten;
    };
    expect(await answered(1, () => {})).toBe(true);
    expect(await answered(3, () => elsewhere.stream.sendHeaders(fieldsOf(response()), false))).toBe(
      false,
    );
    expect(await answered(5, () => {})).toBe(true);
    end.peer.send(frames.headers(7, request("/a/B")));
    await end.events.nextStream();
    expect(await answered(9, () => {})).toBe(false);
  });
});
