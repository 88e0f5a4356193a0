// The connections of a server, made by hand: what of them is passed on, and to whom.

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { expect, it } from "vitest";
import { newCodec } from "../../src/grpc/codec.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import type { RefusedEvent } from "../../src/observe/channels.ts";
import { Connections } from "../../src/server/connections.ts";
import { Dispatcher } from "../../src/server/dispatcher.ts";
import { answerDirectly, type StreamHandler } from "../../src/server/interceptor.ts";
import { OpenCalls } from "../../src/server/open-calls.ts";
import type { RequestHead } from "../../src/server/request-head.ts";
import type { ServerCall } from "../../src/server/server-call.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { FakeStream } from "../support/fake-stream.ts";
import { fieldsOf, request } from "../support/frames.ts";

function start(unknownServiceHandler?: StreamHandler) {
  const errors: Error[] = [];
  const dispatcher = new Dispatcher(new OpenCalls(new FakeClock()), {
    codec: newCodec(),
    maxRequestMessageBytes: 1_000,
    unknownServiceHandler,
    interceptors: [],
  });
  const onConnectionError = (error: Error): void => {
    errors.push(error);
  };
  const connections = new Connections({ dispatcher, onSession: () => {}, onConnectionError });
  return { connections, errors };
}

it("requests with the same list share what was found out of it, across connections too", () => {
  const heads: RequestHead[] = [];
  const handler = Object.assign(() => {}, {
    [answerDirectly]: (call: ServerCall) => {
      heads.push(call.head);
      call.finishOk(new Metadata());
    },
  });
  const { connections } = start(handler);
  const { session } = new FakeStream();
  const headers = fieldsOf(request("/a/B"));
  for (const listener of [connections.onSession(session), connections.onSession(session)]) {
    for (let i = 0; i < 2; i++) listener.onStream(new FakeStream(), headers, true);
    listener.onStream(new FakeStream(), fieldsOf(request("/a/B")), true);
    // A client's GOAWAY speaks of pushed streams.
    listener.onGoAway(0, 0, "");
  }
  expect(heads).toHaveLength(6);
  expect(new Set(heads).size).toBe(3);
  expect(new Set([0, 1, 3, 4].map((i) => heads[i])).size).toBe(1);
});

it("a connection that failed before it was a session is told, without its peer where that was named", () => {
  const { connections, errors } = start();
  const rules: string[] = [];
  const look = (event: unknown): void => {
    rules.push((event as RefusedEvent).rule);
  };
  subscribe("grpc-relay:refused", look);
  closeAtEnd(() => unsubscribe("grpc-relay:refused", look));
  const told = ["192.0.2.1:1 spoke HTTP/1", "broken"].map((message) => new Error(message));
  for (const error of told) connections.onError(error, "192.0.2.1:1");
  const own = new Error("the listening socket is gone");
  connections.onError(own, undefined);
  expect(rules).toEqual(["spoke HTTP/1", "broken"]);
  expect(errors).toEqual([...told, own]);
});

it("the end waits for every connection and every source of them", async () => {
  const { connections } = start();
  const log: string[] = [];
  let sourceClosed = (): void => {};
  connections.add({
    close: () => {
      log.push("source");
      return new Promise((resolve) => {
        sourceClosed = resolve;
      });
    },
  });
  const { session } = new FakeStream();
  const listener = connections.onSession({ ...session, drain: () => log.push("drained") });
  const other = connections.onSession({ ...session, destroy: () => log.push("destroyed") });
  const done = connections.end().then(() => log.push("done"));
  connections.destroyAll("over");
  listener.onClosed({ kind: "closed", code: 0, message: "" });
  other.onClosed({ kind: "closed", code: 0, message: "" });
  sourceClosed();
  await done;
  expect(log).toEqual(["source", "drained", "destroyed", "done"]);
});
