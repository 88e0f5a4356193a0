// What trailers say about the outcome of a call. Nearly all of it is passed on and never read here,
// so its text is made when somebody reads it.

import { Status } from "./status.ts";
import { decodeGrpcMessage } from "./status-message.ts";

/** How much of a `grpc-status` that is none is repeated in the details, in characters. */
const MAX_SHOWN_CODE = 64;

export class ReceivedStatus {
  readonly status: Status;
  /** As it came, until it is decoded. */
  private wireMessage: string;
  /** What came in the place of a status. */
  private readonly badCode: string | undefined;
  private decodedDetails: string | undefined;

  /**
   * @param badCode a `grpc-status` that is none; the status is UNKNOWN then, and the details say
   * what came
   */
  constructor(status: Status, wireMessage: string, badCode?: string) {
    this.status = status;
    this.wireMessage = wireMessage;
    this.badCode = badCode;
  }

  /**
   * The decoded `grpc-message`, empty when there is none. Decoded when it is read for the first
   * time.
   */
  get details(): string {
    if (this.decodedDetails === undefined) {
      const message = decodeGrpcMessage(this.wireMessage);
      this.wireMessage = "";
      this.decodedDetails =
        this.badCode === undefined ? message : withComplaint(this.badCode, message);
    }
    return this.decodedDetails;
  }
}

function withComplaint(code: string, message: string): string {
  const shown = code.length > MAX_SHOWN_CODE ? `${code.slice(0, MAX_SHOWN_CODE)}...` : code;
  const complaint = /^[1-9][0-9]*$/.test(code)
    ? `unknown grpc-status ${shown}`
    : `malformed grpc-status ${JSON.stringify(shown)}`;
  return message === "" ? complaint : `${complaint}: ${message}`;
}

const PLAIN_OK = new ReceivedStatus(Status.OK, "");

const STATUS_FROM_TEXT: ReadonlyMap<string, Status> = new Map(
  Object.values(Status).map((status) => [String(status), status]),
);

/**
 * The outcome that `code`, the value of `grpc-status`, and `wireMessage`, that of `grpc-message`,
 * stand for.
 */
export function receivedStatus(code: string, wireMessage: string): ReceivedStatus {
  if (code === "0" && wireMessage === "") return PLAIN_OK;
  const status = STATUS_FROM_TEXT.get(code);
  return status === undefined
    ? new ReceivedStatus(Status.UNKNOWN, wireMessage, code)
    : new ReceivedStatus(status, wireMessage);
}
