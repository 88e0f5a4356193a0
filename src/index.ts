// The public API, all of it.

export type {
  Balancer,
  BalancerFactory,
  BalancerHost,
  Picker,
  PickInfo,
  SubchannelView,
} from "./client/balance/balancer.ts";
export type { BalancingName } from "./client/balance/built-in.ts";
export type { CallOptions } from "./client/call-options.ts";
export { ClientConn } from "./client/client-conn.ts";
export { ClientStream, type ClientStreamOptions } from "./client/client-stream.ts";
export { dial } from "./client/dial.ts";
export type { DialOptions } from "./client/dial-options.ts";
export type { HealthCheckOptions } from "./client/health/health-options.ts";
export type { AddressState } from "./client/member.ts";
export type {
  ConsecutiveFailuresOptions,
  FailurePercentageOptions,
  OutlierDetectionOptions,
  SuccessRateOptions,
} from "./client/outlier/outlier-options.ts";
export type { PingOptions } from "./client/ping.ts";
export type { ReadyOptions } from "./client/ready-waiters.ts";
export type { ResolvedAddress, Resolver, ResolverListener } from "./client/resolve/resolver.ts";
export type { RetryPolicy, RetryThrottlingOptions } from "./client/retry-policy.ts";
export type { ConnectionBackoffOptions } from "./client/subchannel/connection-backoff.ts";
export type { DialTarget } from "./client/target.ts";
export { type Codec, codecWithParent, newCodec } from "./grpc/codec.ts";
export {
  ErrorReason,
  type ErrorSource,
  GrpcError,
  type GrpcErrorOptions,
} from "./grpc/error.ts";
export { Frame } from "./grpc/frame.ts";
export {
  Metadata,
  type MetadataFieldOptions,
  type MetadataInput,
  type MetadataValue,
} from "./grpc/metadata.ts";
export { Status, statusName } from "./grpc/status.ts";
export type {
  AddressHealth,
  AddressStateEvent,
  CallEndEvent,
  CallStartEvent,
  ConnState,
  ConnStateEvent,
  DetachedEndEvent,
  RefusedEvent,
} from "./observe/channels.ts";
export {
  type Destination,
  type DestinationErrorHandler,
  type DestinationNeed,
  type RequestFinalizer,
  type StreamDirector,
  StreamParameters,
} from "./proxy/director.ts";
export { InvalidPeekCountError, type StreamPeeker } from "./proxy/peeker.ts";
export type { CallResult, DestinationResult } from "./proxy/results.ts";
export {
  handleStream,
  registerService,
  registerStreamHandlers,
  type TransparentHandlerOptions,
  transparentHandler,
} from "./proxy/transparent-handler.ts";
export type { AttachOptions } from "./server/attach-options.ts";
export { CallContext, incomingToOutgoing } from "./server/call-context.ts";
export type { ServerConnectionOptions } from "./server/connection-options.ts";
export type { StreamHandler, StreamInterceptor, StreamServerInfo } from "./server/interceptor.ts";
export {
  type ListenSettings,
  Server,
  type ServerOptions,
} from "./server/server.ts";
export type { ServerListener } from "./server/server-listener.ts";
export { ServerStream } from "./server/server-stream.ts";
export type {
  HandedOverClientSession,
  HandedOverRequestHeaders,
  HandedOverServer,
} from "./transport/handed-over.ts";
export type { KeepaliveOptions, ServerKeepaliveOptions } from "./transport/keepalive.ts";
export type { InheritedSocket } from "./transport/listen-address.ts";
export {
  type EngineLimits,
  type EngineOptions,
  engineTransport,
  type TransportName,
} from "./transport/select.ts";
export type {
  ClientTlsOptions,
  ServerCertificate,
  ServerTlsOptions,
  TlsInfo,
  TlsMaterial,
} from "./transport/tls.ts";
export type {
  PeerInfo,
  ProxyProtocolOptions,
  SessionOptions,
  SocketAddress,
  Transport,
} from "./transport/transport.ts";
