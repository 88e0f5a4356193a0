// The backend of `grpc-relay demo`: one method of each kind, messages are JSON strings. Knows
// nothing of the proxy.

import {
  type Codec,
  codecWithParent,
  GrpcError,
  Metadata,
  registerStreamHandlers,
  Server,
  type ServerStream,
  Status,
} from "../index.ts";

export const DEMO_SERVICE = "demo.Text";
/**
 * Set by the director, and shown to the client by the backend: request metadata that went both
 * ways.
 */
export const PEEKED_HEADER = "peeked-bytes";

/** Text instead of protobuf, so that the demo needs no generated code. */
export const textCodec: Codec<string> = {
  name: "json",
  marshal: (message) => Buffer.from(JSON.stringify(message)),
  unmarshal: (data) => {
    const message: unknown = JSON.parse(data.toString());
    if (typeof message !== "string") {
      throw new TypeError(`expected a JSON string, got ${data.toString()}`);
    }
    return message;
  },
};

type TextStream = ServerStream<string, string>;

/** @param name the backend's name in its response headers */
export function createDemoBackend(name: string): Server {
  const server = new Server({ codec: codecWithParent(textCodec) });
  const introduce = (stream: TextStream): void => {
    stream.setHeader(Metadata.from({ "served-by": name }));
    const peeked = stream.context.metadata.first(PEEKED_HEADER);
    if (peeked !== undefined) stream.setHeader(Metadata.from({ [PEEKED_HEADER]: peeked }));
  };
  registerStreamHandlers(server, DEMO_SERVICE, {
    /** Unary. */
    Upper: async (stream: TextStream) => {
      introduce(stream);
      const text = (await stream.recvMessage()) ?? "";
      stream.setTrailer(Metadata.from({ letters: String(text.length) }));
      await stream.sendMessage(text.toUpperCase());
    },
    /** Server stream: one message per letter. */
    Letters: async (stream: TextStream) => {
      introduce(stream);
      const text = (await stream.recvMessage()) ?? "";
      for (const letter of text) await stream.sendMessage(letter);
      stream.setTrailer(Metadata.from({ letters: String(text.length) }));
    },
    /** Client stream: one message for all. */
    Join: async (stream: TextStream) => {
      introduce(stream);
      const words: string[] = [];
      for await (const word of stream) words.push(word);
      stream.setTrailer(Metadata.from({ words: String(words.length) }));
      await stream.sendMessage(words.join(" "));
    },
    /** Bidirectional: each message is answered when it comes. */
    Echo: async (stream: TextStream) => {
      introduce(stream);
      let count = 0;
      for await (const text of stream) {
        await stream.sendMessage(text);
        count++;
      }
      stream.setTrailer(Metadata.from({ echoed: String(count) }));
    },
    /** Always fails, with trailing metadata. */
    Refuse: (stream: TextStream) => {
      introduce(stream);
      throw new GrpcError(Status.FAILED_PRECONDITION, "the demo refuses this call", {
        metadata: Metadata.from({ "retry-pushback": "never" }),
      });
    },
  });
  return server;
}
