import { describe, expect, it } from "vitest";
import {
  type Codec,
  codecWithParent,
  decodeMessage,
  encodeMessage,
  newCodec,
  takesRawFrames,
} from "../../src/grpc/codec.ts";
import { GrpcError } from "../../src/grpc/error.ts";
import { Frame } from "../../src/grpc/frame.ts";
import { Status } from "../../src/grpc/status.ts";

interface Point {
  readonly x: number;
}

const json: Codec<Point> = {
  name: "json",
  marshal: (message) => Buffer.from(JSON.stringify(message)),
  unmarshal: (data) => JSON.parse(data.toString()) as Point,
};

const payload = Buffer.from([0xde, 0xad, 0xbe, 0xef]);

function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

describe("newCodec", () => {
  it("reads what it wrote", () => {
    const codec = newCodec();
    expect(codec.name).toBe("proxy");
    const frame = codec.unmarshal(payload);
    expect(frame).toBeInstanceOf(Frame);
    expect(codec.marshal(frame)).toBe(payload);
  });

  it("takes bytes as a payload, uncopied", () => {
    expect(newCodec().marshal(payload)).toBe(payload);
    const bytes = new Uint8Array([0, 1, 2, 3]).subarray(1, 3);
    const marshalled = newCodec().marshal(bytes);
    expect(marshalled).toEqual(Buffer.from([1, 2]));
    expect(marshalled.buffer).toBe(bytes.buffer);
  });

  it.each([
    [{ x: 1 }, "Object"],
    [new Date(), "Date"],
    [Object.create(null) as unknown, "object"],
    [null, "null"],
    [undefined, "undefined"],
    ["text", "string"],
    [[1], "Array"],
  ])("refuses %o and says that it is %s", (message, kind) => {
    expect(() => newCodec().marshal(message)).toThrow(
      new TypeError(`expected a Frame or bytes, got ${kind}`),
    );
  });
});

describe("codecWithParent", () => {
  it("passes a Frame untouched and gives anything else to its parent", () => {
    const codec = codecWithParent(json);
    expect(codec.name).toBe("proxy>json");
    expect(codec.marshal(new Frame(payload))).toBe(payload);
    expect(codec.marshal({ x: 1 }).toString()).toBe('{"x":1}');
    expect(codec.unmarshal(Buffer.from('{"x":2}'))).toEqual({ x: 2 });
  });
});

describe("takesRawFrames", () => {
  it("is true for newCodec alone", () => {
    expect(takesRawFrames(newCodec())).toBe(true);
    expect(takesRawFrames(json as Codec)).toBe(false);
    expect(takesRawFrames(codecWithParent(json) as Codec)).toBe(false);
  });
});

describe("encodeMessage", () => {
  it.each([newCodec(), json, codecWithParent(json)])(
    "sends a frame as it is, compressed flag included, with the codec $name",
    (codec) => {
      const frame = new Frame(payload, true);
      expect(encodeMessage(codec as Codec, frame)).toBe(frame);
    },
  );

  it("makes an uncompressed frame of anything else", () => {
    const frame = encodeMessage(codecWithParent(json), { x: 1 });
    expect(frame.payload.toString()).toBe('{"x":1}');
    expect(frame.compressed).toBe(false);
  });

  it("makes a failing codec INTERNAL, as grpc-go does", () => {
    const error = thrownBy(() => encodeMessage(newCodec(), "text"));
    expect(error).toBeInstanceOf(GrpcError);
    expect(error).toMatchObject({
      status: Status.INTERNAL,
      reason: "CODEC",
      details: "grpc: error while marshaling",
      message: "INTERNAL: grpc: error while marshaling: expected a Frame or bytes, got string",
    });
    expect((error as GrpcError).cause).toBeInstanceOf(TypeError);
  });
});

describe("decodeMessage", () => {
  it("gives the frame itself with newCodec, compressed or not", () => {
    const frame = new Frame(payload, true);
    expect(decodeMessage(newCodec(), frame)).toBe(frame);
  });

  it.each([json, codecWithParent(json)])("gives what $name makes of the payload", (codec) => {
    expect(decodeMessage(codec as Codec, new Frame(Buffer.from('{"x":3}')))).toEqual({ x: 3 });
  });

  it("refuses to decode a compressed message", () => {
    expect(thrownBy(() => decodeMessage(json, new Frame(payload, true)))).toMatchObject({
      status: Status.UNIMPLEMENTED,
      reason: "COMPRESSED_MESSAGE",
    });
  });

  it("makes a failing codec INTERNAL, as grpc-go does", () => {
    const error = thrownBy(() => decodeMessage(json, new Frame(Buffer.from("{"))));
    expect(error).toMatchObject({ status: Status.INTERNAL, reason: "CODEC" });
    expect((error as GrpcError).details).toBe("grpc: failed to unmarshal the received message");
    expect((error as GrpcError).message).toMatch(/the received message: ./);
    expect((error as GrpcError).cause).toBeInstanceOf(SyntaxError);
  });

  it("passes a GrpcError that a codec throws", () => {
    const refusal = new GrpcError(Status.INVALID_ARGUMENT, "field 3 is missing");
    const unmarshal = (): never => {
      throw refusal;
    };
    expect(thrownBy(() => decodeMessage({ ...json, unmarshal }, new Frame(payload)))).toBe(refusal);
  });
});

it.each([
  [undefined, "parent of codecWithParent: expected an object, got undefined"],
  [{ marshal: () => {} }, "parent of codecWithParent: expected a codec with the method unmarshal"],
])("is not made with %o for a parent", (parent, message) => {
  expect(() => codecWithParent(parent as never)).toThrow(message);
});
