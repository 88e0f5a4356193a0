import { describe, expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import { Status } from "../../src/grpc/status.ts";
import type { ClientSession, Transport } from "../../src/transport/transport.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { transportOf } from "../support/transport-of.ts";

/** A transport whose every attempt to connect ends with `cause`. */
function failing(cause: unknown): Transport {
  return transportOf("failing", {
    connect: (_options, listener) => {
      queueMicrotask(() =>
        listener.onClosed({ kind: "connect", code: ErrorCode.NO_ERROR, message: "no", cause }),
      );
      const session: Partial<ClientSession> = { availableStreamCount: 0, openStreamCount: 0 };
      return session as ClientSession;
    },
  });
}

describe("a connection that cannot be made", () => {
  it.each([
    ["ECONNREFUSED", Status.UNAVAILABLE],
    ["ERR_SOCKET_BAD_PORT", Status.INTERNAL],
    [undefined, Status.UNAVAILABLE],
  ])("for %s gives its calls the status of that errno", async (code, status) => {
    const cause = code === undefined ? "no error" : Object.assign(new Error("no"), { code });
    const conn = dial("127.0.0.1:1", { transport: failing(cause) });
    const call = conn.newStream("/a.B/C");
    await expect(call.recvMessage()).rejects.toMatchObject({
      status,
      reason: "UPSTREAM_CONNECT",
      cause,
    });
    await conn.close();
  });
});
