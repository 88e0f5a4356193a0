// Subject: grpc-relay over its public API, in the variants that users choose between.

import { readFileSync } from "node:fs";
import {
  type BalancingName,
  dial,
  Server,
  type StreamDirector,
  StreamParameters,
  type TransportName,
  transparentHandler,
} from "../../src/index.ts";
import { announce, childArguments, followParent, requiredArgument } from "../process/child.ts";

const args = childArguments();
const variant = requiredArgument(args, "variant");
const target = `127.0.0.1:${requiredArgument(args, "backend-port")}`;
const transport: TransportName = variant === "node" ? "node" : "engine";

/** Limits as in the other subjects: windows and stream limits are not in the way. */
const LIMITS = {
  transport,
  maxConcurrentStreams: 1_000,
  streamWindowBytes: 1_048_576,
  connectionWindowBytes: 16_777_216,
};

const certPath = args.get("cert");
const keyPath = args.get("key");
const serverTls =
  certPath === undefined || keyPath === undefined
    ? {}
    : { tls: { cert: readFileSync(certPath), key: readFileSync(keyPath) } };
const clientTls =
  certPath === undefined ? {} : { tls: { ca: readFileSync(certPath), serverName: "localhost" } };

/** All backends, for the variants that spread calls over them. */
const spread = (balancing: BalancingName): (() => StreamDirector) => {
  const ports = args.get("backend-ports")?.split(",") ?? [];
  const targets = ports.map((port) => `127.0.0.1:${port}`);
  return () => {
    const all = new StreamParameters({ conn: dial(targets, { ...LIMITS, balancing }) });
    return () => all;
  };
};

const conn = dial(target, { ...LIMITS, ...clientTls });
const plain = new StreamParameters({ conn });

const DIRECTORS: Readonly<Record<string, () => StreamDirector>> = {
  node: () => () => plain,
  engine: () => () => plain,
  tls: () => () => plain,
  peek: () => async (_ctx, _method, peeker) => {
    await peeker.peek();
    return plain;
  },
  roundRobin: spread("roundRobin"),
  leastRequest: spread("leastRequest"),
  secondary: () => {
    const secondary = dial(target, { ...LIMITS, ...clientTls });
    const both = new StreamParameters({ conn }, [{ conn: secondary }]);
    return () => both;
  },
};

const director = DIRECTORS[variant];
if (director === undefined) throw new TypeError(`no variant is called ${variant}`);
const server = new Server({
  ...LIMITS,
  ...serverTls,
  unknownServiceHandler: transparentHandler(director()),
});
const { address } = await server.listen("127.0.0.1:0");
if ("port" in address) announce({ port: address.port });
followParent();
