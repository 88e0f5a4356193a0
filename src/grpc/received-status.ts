// The outcome of a call as trailers say it. Nearly all outcomes are passed on and never read here,
// so the text is decoded when somebody reads it.

import { Status } from "./status.ts";
import { decodeGrpcMessage } from "./status-message.ts";

/** How many characters of an invalid `grpc-status` the details repeat. */
const MAX_SHOWN_CODE = 64;

export class ReceivedStatus {
  readonly status: Status;
  /** The text as it came, until it is decoded. */
  private wireMessage: string;
  /** The value that came in the place of a status. */
  private readonly badCode: string | undefined;
  private decodedDetails: string | undefined;

  /**
   * @param badCode an invalid `grpc-status`; the status is UNKNOWN then, and the details repeat
   *   this value
   */
  constructor(status: Status, wireMessage: string, badCode?: string) {
    this.status = status;
    this.wireMessage = wireMessage;
    this.badCode = badCode;
  }

  /** The decoded `grpc-message`, empty when there is none. It is decoded when it is first read. */
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
 * The outcome for `code`, the value of `grpc-status`, and `wireMessage`, the value of
 * `grpc-message`.
 */
export function receivedStatus(code: string, wireMessage: string): ReceivedStatus {
  if (code === "0" && wireMessage === "") return PLAIN_OK;
  const status = STATUS_FROM_TEXT.get(code);
  return status === undefined
    ? new ReceivedStatus(Status.UNKNOWN, wireMessage, code)
    : new ReceivedStatus(status, wireMessage);
}
