// The interop services as grpc-js takes them, and their messages as TypeScript sees them.

import { fileURLToPath } from "node:url";
import type * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const definitions = loadSync(
  ["interop.proto", "orca.proto"].map((name) =>
    fileURLToPath(new URL(`./${name}`, import.meta.url)),
  ),
  { keepCase: false, longs: Number, defaults: true },
);

function service(name: string): grpc.ServiceDefinition {
  return definitions[name] as grpc.ServiceDefinition;
}

export const TEST_SERVICE: grpc.ServiceDefinition = service("grpc.testing.TestService");
export const UNIMPLEMENTED_SERVICE: grpc.ServiceDefinition = service(
  "grpc.testing.UnimplementedService",
);
export const ORCA_SERVICE: grpc.ServiceDefinition = service("xds.service.orca.v3.OpenRcaService");

/** What grpc-js takes for a method of any message types. */
export type Method = grpc.MethodDefinition<unknown, unknown>;

export function methodOf(service: grpc.ServiceDefinition, name: string): Method {
  const method = service[name];
  if (method === undefined) throw new Error(`no method ${name}`);
  return method;
}

export interface Payload {
  readonly body: Buffer;
}

export interface EchoStatus {
  readonly code: number;
  readonly message: string;
}

export interface LoadReport {
  readonly cpuUtilization?: number;
  readonly memoryUtilization?: number;
  readonly requestCost?: Readonly<Record<string, number>>;
  readonly utilization?: Readonly<Record<string, number>>;
}

export interface SimpleRequest {
  readonly responseSize?: number;
  readonly payload?: Payload | null;
  readonly responseCompressed?: { readonly value: boolean } | null;
  readonly responseStatus?: EchoStatus | null;
  readonly expectCompressed?: { readonly value: boolean } | null;
  readonly orcaPerQueryReport?: LoadReport | null;
}

export interface PayloadMessage {
  readonly payload: Payload | null;
}

export interface StreamingInputRequest {
  readonly payload: Payload;
  readonly expectCompressed?: { readonly value: boolean };
}

export interface ResponseParameters {
  readonly size: number;
  readonly intervalUs?: number;
  readonly compressed?: { readonly value: boolean } | null;
}

export interface StreamingOutputRequest {
  readonly responseParameters?: readonly ResponseParameters[];
  readonly payload?: Payload | null;
  readonly responseStatus?: EchoStatus | null;
  readonly orcaOobReport?: LoadReport | null;
}

/** What `xds.data.orca.v3.OrcaLoadReport` calls memory. */
export interface OrcaLoadReport {
  readonly cpuUtilization: number;
  readonly memUtilization: number;
  readonly requestCost: Readonly<Record<string, number>>;
  readonly utilization: Readonly<Record<string, number>>;
}

export function orcaReport(report: LoadReport): OrcaLoadReport {
  return {
    cpuUtilization: report.cpuUtilization ?? 0,
    memUtilization: report.memoryUtilization ?? 0,
    requestCost: report.requestCost ?? {},
    utilization: report.utilization ?? {},
  };
}

/** Bytes of no value, as the interop cases send them. */
export function zeroes(byteCount: number): Payload {
  return { body: Buffer.alloc(byteCount) };
}
