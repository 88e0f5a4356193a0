// Decides which requests of a user's own server the relay takes.

import { checkBoolean, checkFunction, tell } from "../check/check.ts";
import { type OptionTable, optionTable } from "../check/options.ts";
import { isGrpcContentType } from "../grpc/content-type.ts";
import type { Claim, HandedOverRequestHeaders } from "../transport/handed-over.ts";

export interface AttachOptions {
  /**
   * Selects the requests for the relay by their header fields. The others go to the server's own
   * handlers as if nothing were attached. The function must be quick and not throw; a request for
   * which it throws is not taken.
   * @default those with a content type of gRPC. If the server has no handlers of its own, all;
   *   those that are not gRPC are answered with 415
   */
  readonly match?: (headers: HandedOverRequestHeaders) => boolean;
}

const ATTACH_OPTIONS: OptionTable = optionTable<AttachOptions>("options of attach", {
  match: checkFunction,
});

/** @throws {TypeError} naming the option, what was expected and what came */
export function claimOf(options: AttachOptions): Claim {
  ATTACH_OPTIONS.check(options);
  const { match } = options;
  if (match === undefined) return { matches: hasGrpcContentType, refusesOthers: true };
  return { matches: (headers) => matches(match, headers), refusesOthers: false };
}

function hasGrpcContentType(headers: HandedOverRequestHeaders): boolean {
  return isGrpcContentType(headers["content-type"]);
}

function matches(
  match: NonNullable<AttachOptions["match"]>,
  headers: HandedOverRequestHeaders,
): boolean {
  let taken = false;
  tell("match", () => {
    const answer: unknown = match(headers);
    checkBoolean("match", answer);
    taken = answer === true;
  });
  return taken;
}
