// What a user may write: every export once, and what has to be refused. It is compiled against the
// packed package by test/cli/package.test.ts, and never run.

import { subscribe } from "node:diagnostics_channel";
import { connect, createServer } from "node:http2";
import * as api from "grpc-relay";

// A backend of several kinds.

const limits: Partial<api.EngineLimits> = { pingBurst: 10 };
const engineOptions: api.EngineOptions = { limits };
const transport: api.Transport = api.engineTransport(engineOptions);
const transportName: api.TransportName = transport.name === "node" ? "node" : "engine";
const material: api.TlsMaterial = { ca: "" };
const clientTls: api.ClientTlsOptions = { ...material, serverName: "a" };
const backoff: api.ConnectionBackoffOptions = { initialMs: 1, maxMs: 2, multiplier: 2, jitter: 0 };
const windows: api.SessionOptions = { streamWindowBytes: 65_535 };
const retryThrottling: api.RetryThrottlingOptions = { maxTokens: 10, tokenRatio: 0.1 };
const keepalive: api.KeepaliveOptions = {};
const connecting: api.DialOptions = { transport, tls: clientTls, backoff, keepalive };
const consecutiveFailures: api.ConsecutiveFailuresOptions = { threshold: 5 };
const successRate: api.SuccessRateOptions = { stdevFactor: 1_900 };
const failurePercentage: api.FailurePercentageOptions = { threshold: 85 };
const outlierDetection: api.OutlierDetectionOptions = {
  ...{ consecutiveFailures, successRate, failurePercentage },
};
const healthCheck: api.HealthCheckOptions = { serviceName: "a.B", timeoutMs: 1_000 };
const dialOptions: api.DialOptions = {
  ...{ ...windows, ...connecting, retryThrottling, outlierDetection, healthCheck },
};
const conn: api.ClientConn = api.dial("127.0.0.1:1", dialOptions);
const stop: () => void = conn.onState((state, error, reason) => {
  const known: api.ConnState = state;
  console.log(known, error?.status, reason);
  // @ts-expect-error no such state
  if (state === "transient_failure") stop();
});
const pingOptions: api.PingOptions = { signal: AbortSignal.timeout(5) };
export const roundTrip: Promise<number> = conn.ping(pingOptions);

// A backend at several addresses.

const known: api.ResolvedAddress = { address: "10.0.0.1:1", weight: 2 };
const resolver: api.Resolver = {
  name: "orders:50051",
  start: (listener: api.ResolverListener) => listener.onAddresses(["10.0.0.2:1", known]),
};
const latest = (host: api.BalancerHost): api.Balancer => ({
  update: (subchannels: readonly api.SubchannelView[]): api.Picker => {
    for (const subchannel of subchannels) subchannel.connect();
    return { pick: (call: api.PickInfo) => (call.hashKey === "" ? undefined : subchannels.at(-1)) };
  },
  close: () => host.refresh(),
});
const makesBalancer: api.BalancerFactory = latest;
const balancingName: api.BalancingName = "ringHash";
const where: api.DialTarget = [known, "10.0.0.2:1"];
export const several: api.ClientConn[] = [
  api.dial(where, { balancing: balancingName }),
  api.dial(resolver, { balancing: makesBalancer, minResolveIntervalMs: 5 }),
];
const readyOptions: api.ReadyOptions = { signal: AbortSignal.timeout(5) };
export const readyNow: Promise<void> = conn.ready(readyOptions);
export const health: api.AddressHealth | undefined = conn.addresses[0]?.health;
export const addressStates: readonly api.AddressState[] = conn.addresses;
const session: api.HandedOverClientSession = connect("http://localhost");
export const handedOver: api.ClientConn = api.ClientConn.fromSession(session);

export const shared: api.CallOptions = { fairnessKey: "tenant 5" };

// A call of our own.

interface Point {
  readonly x: number;
}
const points: api.Codec<Point> = {
  name: "point",
  marshal: ({ x }: Point): Buffer => Buffer.from(String(x)),
  unmarshal: (data: Buffer): Point => ({ x: Number(data) }),
};
const codec: api.Codec = api.newCodec();
export const mixed: api.Codec<Point | api.Frame> = api.codecWithParent(points);
const streamOptions: api.ClientStreamOptions = { codec, signal: AbortSignal.timeout(5) };
export async function ask(): Promise<Point | undefined> {
  const call: api.ClientStream<Point, Point> = conn.newStream("/a.B/C", streamOptions);
  await call.sendMessage({ x: 1 });
  call.closeSend();
  for await (const point of call) return point;
  const header: api.Metadata = await call.header();
  const field: api.MetadataFieldOptions = { sensitive: true };
  const text: api.MetadataInput = "1";
  header.set("a", text, field);
  const bytes: api.MetadataValue<"a-bin"> | undefined = header.first("a-bin");
  console.log(bytes?.byteLength);
  return undefined;
}

// Directors.

const retryPolicy: api.RetryPolicy = {
  ...{ maxAttempts: 3, initialBackoffMs: 10, maxBackoffMs: 100, backoffMultiplier: 2 },
  retryableStatuses: [api.Status.UNAVAILABLE],
};
const metadata: api.Metadata = api.Metadata.from({ a: "b" });
const callOptions: api.CallOptions = { timeoutMs: 1, metadata, retryPolicy };
const onError: api.DestinationErrorHandler = (error, result) => {
  const { conn: where, ended }: api.DestinationResult = result;
  return ended && where === conn ? undefined : error;
};
const need: api.DestinationNeed = "optional";
const finalizer: api.RequestFinalizer = ({ status, primary }: api.CallResult) => {
  console.log(api.statusName(status), primary.responseBytes);
};
const director: api.StreamDirector = async (ctx, fullMethodName, peeker) => {
  const first: Buffer = await peeker.peek();
  const others: Buffer[] = await peeker.peek(2).catch((error: unknown) => {
    if (error instanceof api.InvalidPeekCountError) return [];
    throw error;
  });
  if (others.length > 5) throw new api.GrpcError(api.Status.NOT_FOUND, fullMethodName);
  const outgoing: api.CallContext = api.incomingToOutgoing(ctx);
  const primary: api.Destination = { conn, ctx: outgoing, message: first, onError };
  return new api.StreamParameters(primary, [{ conn, need }], finalizer, callOptions);
};
export const peekTwice = (peeker: api.StreamPeeker): Promise<Buffer[]> => peeker.peek(2);

// Servers.

const interceptor: api.StreamInterceptor = async (stream, info, next) => {
  const { fullMethod, registered }: api.StreamServerInfo = info;
  const peer: api.PeerInfo = stream.context.peer;
  const tls: api.TlsInfo | undefined = peer.tls;
  console.log(fullMethod, registered, tls?.protocol);
  await next(stream.withContext(stream.context.withTimeout(5)));
};
const handlerOptions: api.TransparentHandlerOptions = { maxPeekBytes: 5 };
const certificate: api.ServerCertificate = { cert: "", key: "" };
const serverTls: api.ServerTlsOptions = { certificates: { "a.example": certificate } };
const bounds: api.ServerConnectionOptions = {
  acceptConnection: ({ remoteAddress }) => remoteAddress !== "",
};
const serverKeepalive: api.ServerKeepaliveOptions = {};
const serverOptions: api.ServerOptions = {
  keepalive: serverKeepalive,
  ...bounds,
  interceptors: [interceptor],
  unknownServiceHandler: api.transparentHandler(director, handlerOptions),
};
const server: api.Server = new api.Server(serverOptions);
const echo: api.StreamHandler<Point, Point> = async (stream: api.ServerStream<Point, Point>) => {
  for await (const point of stream) await stream.sendMessage(point);
};
api.registerStreamHandlers(server, "a.B", { Echo: echo });
api.registerService(server, director, "a.C", "D", "E");
const proxyProtocol: api.ProxyProtocolOptions = { from: ["10.0.0.0/8"] };
const settings: api.ListenSettings = { transport: transportName, tls: serverTls, proxyProtocol };
const address: api.SocketAddress = { host: "127.0.0.1", port: 0 };
export const listening: Promise<api.ServerListener> = server.listen(address, settings);
const inherited: api.InheritedSocket = { fd: 3 };
void server.listen(inherited).then(() => server.listen({ systemd: "grpc" }));
const http2Server: api.HandedOverServer = createServer();
const isOurs = (headers: api.HandedOverRequestHeaders): boolean => headers["te"] === "trailers";
const attachOptions: api.AttachOptions = { match: isOurs };
server.attach(http2Server, attachOptions);
export const relayed = (stream: api.ServerStream): Promise<void> =>
  api.handleStream(stream, "/a.B/C", new api.StreamParameters({ conn }));

// Errors and events.

export function describe(error: api.GrpcError): string {
  const source: api.ErrorSource = error.source;
  const reason: api.ErrorReason = error.reason;
  const options: api.GrpcErrorOptions = { reason: api.ErrorReason.HANDLER, source };
  return new api.GrpcError(error.status, reason, options).details;
}
type Event =
  | api.CallStartEvent
  | api.CallEndEvent
  | api.DetachedEndEvent
  | api.ConnStateEvent
  | api.AddressStateEvent
  | api.RefusedEvent;
subscribe("grpc-relay:conn:state", (message) => {
  const event = message as Event;
  if ("limit" in event) console.log(event.limit.value);
});

// What is not for users.

// @ts-expect-error a target is text, a list or a resolver
api.dial(1);
// @ts-expect-error a transport comes from here
export const mine: api.Transport = { name: "mine" };
// @ts-expect-error and has nothing that can be called
transport.connect({ address });
// @ts-expect-error contexts are made by servers
void new api.CallContext();
// @ts-expect-error listeners are made by servers
void new api.ServerListener();
// @ts-expect-error connections are made by dial
void new api.ClientConn();
// @ts-expect-error calls are made by connections
void new api.ClientStream();
