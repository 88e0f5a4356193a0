// Sessions of a server that a user made, with streams of others on them.

import { once } from "node:events";
import { createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { attachServer } from "../../../src/transport/node/index.ts";
import type { Session } from "../../../src/transport/transport.ts";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { closeAtEnd } from "../../support/cleanup.ts";
import { frames, request } from "../../support/frames.ts";
import { SessionRecorder } from "../../support/recorder.ts";
import { ScriptedClient } from "../../support/scripted-endpoints.ts";

it("that their owner leaves in the turn in which they close tell their owner of one end", async () => {
  const server = createServer();
  const nodeSessions: ServerHttp2Session[] = [];
  server.on("session", (session) => nodeSessions.push(session));
  // Whoever else listens has what does not match.
  server.on("stream", (stream) => stream.on("error", () => {}));
  const events = new SessionRecorder("server");
  let taken: Session | undefined;
  const detach = attachServer(
    server,
    {},
    { matches: (headers) => headers[":path"] === "/ours", refusesOthers: false },
    {
      onSession: (session) => {
        taken = session;
        events.attach(session);
        return events;
      },
      onError: () => {},
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closeAtEnd(() => server.close());
  const { port } = server.address() as AddressInfo;
  const client = await ScriptedClient.connect({ host: "127.0.0.1", port });
  client.send(frames.headers(1, request("/theirs")), frames.headers(3, request("/ours")));
  const stream = await events.nextStream();
  const [node] = nodeSessions;
  node?.prependListener("close", () => taken?.destroy(ErrorCode.NO_ERROR, "done"));
  node?.destroy();
  await events.untilClosed();
  await new Promise((resolve) => setImmediate(resolve));
  expect(stream.log).toEqual(["reset(session, NO_ERROR)"]);
  expect(events.log).toEqual(["stream(3) /ours", "closed(destroyed, NO_ERROR)"]);
  detach();
});
