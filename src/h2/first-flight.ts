// The first bytes that either side sends (RFC 9113 §3.4).

import type { ConnectionOptions } from "./events.ts";
import { CLIENT_PREFACE } from "./frame.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { localSettingPairs, type Role } from "./settings.ts";

/**
 * Writes the preface (of a client), SETTINGS, and the connection window if it is not the default.
 * @param extraBytes by how much that window is larger than the default
 */
export function writeFirstFlight(
  writer: FrameWriter,
  role: Role,
  options: ConnectionOptions,
  extraBytes: number,
): void {
  if (role === "client") writer.raw(CLIENT_PREFACE);
  writer.settings(localSettingPairs(role, options));
  if (extraBytes > 0) writer.windowUpdate(0, extraBytes);
}
