// HPACK by the nanosecond: the cost of decoding and encoding one header block of gRPC traffic.
//
//   npx tsc --noEmit false --outDir .build && taskset -c 1 node .build/bench/micro/hpack.js [part of a name]
//
// Each case runs in rounds; the median round counts, and the spread is printed beside it. `--json`
// for machines.

import { readByteString, writeByteString } from "../../src/h2/hpack/byte-string.ts";
import { HpackDecoder } from "../../src/h2/hpack/decoder.ts";
import { HpackEncoder } from "../../src/h2/hpack/encoder.ts";
import { HeaderField, type HeaderList } from "../../src/wire/field.ts";

const ROUNDS = 9;
const ROUND_MS = 60;

interface Case {
  readonly name: string;
  /** Runs the operation `count` times; returns something that depends on all of them. */
  run(count: number): number;
}

interface Result {
  readonly name: string;
  readonly nsPerOp: number;
  readonly lowestNs: number;
  readonly highestNs: number;
}

function measure(benchmark: Case): Result {
  let count = 1_000;
  let elapsedNs = 0;
  // Warm up, and find how many operations fill a round.
  for (let i = 0; i < 12 || elapsedNs < ROUND_MS * 1e6; i++) {
    elapsedNs = time(benchmark, count);
    if (elapsedNs < ROUND_MS * 1e6) count = Math.ceil(count * (i < 4 ? 2 : 1.5));
  }
  const rounds = Array.from({ length: ROUNDS }, () => time(benchmark, count) / count);
  rounds.sort((a, b) => a - b);
  return {
    name: benchmark.name,
    nsPerOp: rounds[ROUNDS >> 1]!,
    lowestNs: rounds[0]!,
    highestNs: rounds[ROUNDS - 1]!,
  };
}

let sink = 0;

/** CPU time in nanoseconds, so that other programs on the machine count less. */
function time(benchmark: Case, count: number): number {
  const start = process.cpuUsage();
  sink ^= benchmark.run(count);
  const { user, system } = process.cpuUsage(start);
  return (user + system) * 1_000;
}

function field(name: string, value: string): HeaderField {
  return new HeaderField(name, value);
}

function requestFields(): HeaderField[] {
  return [
    field(":method", "POST"),
    field(":scheme", "http"),
    field(":path", "/grpc.testing.BenchmarkService/UnaryCall"),
    field(":authority", "10.0.0.7:50051"),
    field("te", "trailers"),
    field("content-type", "application/grpc"),
    field("user-agent", "grpc-go/1.71.0"),
    field("grpc-accept-encoding", "identity,deflate,gzip"),
    field("x-tenant", "acme"),
  ];
}

function trailerFields(): HeaderField[] {
  return [field("grpc-status", "0")];
}

function newDecoder(): HpackDecoder {
  return new HpackDecoder({ maxTableBytes: 4_096, maxHeaderListBytes: 65_536 });
}

function encodeOnce(encoder: HpackEncoder, fields: HeaderList): Buffer {
  const target = Buffer.alloc(encoder.maxEncodedBytes(fields));
  return target.subarray(0, encoder.encode(fields, target, 0));
}

/** Decodes the second block of a connection that repeats `fields`: all of it indexed. */
function decodeRepeated(name: string, fields: HeaderList): Case {
  const encoder = new HpackEncoder();
  const decoder = newDecoder();
  const first = encodeOnce(encoder, fields);
  decoder.decode(first, 0, first.length);
  return decodeBlock(name, decoder, encodeOnce(encoder, fields));
}

function decodeBlock(name: string, decoder: HpackDecoder, block: Buffer): Case {
  return {
    name: `${name}, ${block.length} B`,
    run: (count) => {
      let total = 0;
      for (let i = 0; i < count; i++) total += decoder.decode(block, 0, block.length).length;
      return total;
    },
  };
}

/** Two different repeating blocks in turn, as a connection carries headers and trailers. */
function decodeAlternating(name: string, a: HeaderList, b: HeaderList): Case {
  const encoder = new HpackEncoder();
  const decoder = newDecoder();
  for (const fields of [a, b]) {
    const block = encodeOnce(encoder, fields);
    decoder.decode(block, 0, block.length);
  }
  const blockA = encodeOnce(encoder, a);
  const blockB = encodeOnce(encoder, b);
  return {
    name,
    run: (count) => {
      let total = 0;
      for (let i = 0; i < count; i += 2) {
        total += decoder.decode(blockA, 0, blockA.length).length;
        total += decoder.decode(blockB, 0, blockB.length).length;
      }
      return total;
    },
  };
}

function encodeRepeated(name: string, fields: HeaderList, encoders = 1): Case {
  const target = Buffer.alloc(4_096);
  const all = Array.from({ length: encoders }, () => new HpackEncoder());
  for (const encoder of all) encoder.encode(fields, target, 0);
  return {
    name,
    run: (count) => {
      let total = 0;
      for (let i = 0; i < count; ) {
        for (const encoder of all) {
          total += encoder.encode(fields, target, 0);
          i++;
        }
      }
      return total;
    },
  };
}

/** Fresh objects in every block, as when nothing came from a table. */
function encodeFresh(name: string, make: () => HeaderField[]): Case {
  const target = Buffer.alloc(4_096);
  const encoder = new HpackEncoder();
  return {
    name,
    run: (count) => {
      let total = 0;
      for (let i = 0; i < count; i++) total += encoder.encode(make(), target, 0);
      return total;
    },
  };
}

/** Encodes repeating fields and one whose value differs each time. */
function encodeWithUnique(name: string, uniqueName: string): Case {
  const fields = requestFields();
  const target = Buffer.alloc(4_096);
  const encoder = new HpackEncoder();
  let serial = 0;
  return {
    name,
    run: (count) => {
      let total = 0;
      for (let i = 0; i < count; i++) {
        fields[9] = field(uniqueName, `${1_000_000 + (serial++ % 900_000)}u`);
        total += encoder.encode(fields, target, 0);
      }
      return total;
    },
  };
}

function literalBlock(fields: HeaderList): Buffer {
  const encoder = new HpackEncoder({ maxTableBytes: 0 });
  encodeOnce(encoder, []);
  return encodeOnce(encoder, fields);
}

// `:path` and `user-agent` as grpc-go writes them, in Huffman code: RFC 7541 §C.4's www.example.com
// and no-cache.
const HUFFMAN_BLOCK = Buffer.from(
  "01 8cf1e3c2e5f23a6ba0ab90f4ff 0f09 86a8eb10649cbf".replaceAll(" ", ""),
  "hex",
);

const repeatedRequest = requestFields();
const withTimeout = literalBlock([
  ...requestFields().slice(0, 2),
  field("grpc-timeout", "29999878u"),
]);

/** One string of `length`. The limits in src/h2/hpack/byte-string.ts come from these cases. */
function stringCases(length: number): (() => Case)[] {
  const octets = Buffer.from("abcdefgh".repeat(16), "latin1");
  const texts = Array.from({ length: 32 }, (_, i) => readByteString(octets, i, i + length));
  return [
    () => ({
      name: `read a string of ${length}`,
      run: (count) => {
        let total = 0;
        for (let i = 0; i < count; i++) {
          total += readByteString(octets, i & 31, (i & 31) + length).length;
        }
        return total;
      },
    }),
    () => ({
      name: `write a string of ${length}`,
      run: (count) => {
        let total = 0;
        for (let i = 0; i < count; i++) total += writeByteString(octets, 0, texts[i & 31]!);
        return total;
      },
    }),
  ];
}

const CASES: readonly (() => Case)[] = [
  () => decodeRepeated("decode request, 9 indexed fields", requestFields()),
  () => decodeRepeated("decode trailers, 1 indexed field", trailerFields()),
  () => decodeAlternating("decode request and trailers in turn", requestFields(), trailerFields()),
  () => decodeBlock("decode 2 indexed + grpc-timeout literal", newDecoder(), withTimeout),
  () => decodeBlock("decode 9 plain literals", newDecoder(), literalBlock(requestFields())),
  () => decodeBlock("decode 2 Huffman literals", newDecoder(), HUFFMAN_BLOCK),
  () => encodeRepeated("encode request, 9 known fields", repeatedRequest),
  () => encodeRepeated("encode trailers, 1 known field", trailerFields()),
  () => encodeRepeated("encode request, 2 encoders share objects", requestFields(), 2),
  () => encodeFresh("encode request, 9 fresh objects", requestFields),
  () => encodeWithUnique("encode 9 known + grpc-timeout", "grpc-timeout"),
  () => encodeWithUnique("encode 9 known + unique x-call", "x-call"),
  () => {
    const encoder = new HpackEncoder();
    const fields = requestFields();
    return {
      name: "maxEncodedBytes of 9 fields",
      run: (count) => {
        let total = 0;
        for (let i = 0; i < count; i++) total += encoder.maxEncodedBytes(fields);
        return total;
      },
    };
  },
  ...[4, 10, 11, 12, 13, 40].flatMap(stringCases),
];

const wanted = process.argv.slice(2).find((argument) => !argument.startsWith("--")) ?? "";
const results = CASES.map((create) => create())
  .filter(({ name }) => name.includes(wanted))
  .map(measure);

if (process.argv.includes("--json")) {
  console.log(JSON.stringify({ node: process.version, results }));
} else {
  for (const { name, nsPerOp, lowestNs, highestNs } of results) {
    const spread = `${lowestNs.toFixed(0)} - ${highestNs.toFixed(0)}`;
    console.log(`${name.padEnd(48)} ${nsPerOp.toFixed(0).padStart(6)} ns  (${spread})`);
  }
}
if (sink === Number.MIN_SAFE_INTEGER) console.log("");
