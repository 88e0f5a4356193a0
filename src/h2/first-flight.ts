// What either side sends first (RFC 9113 §3.4).

import type { ConnectionOptions } from "./events.ts";
import { CLIENT_PREFACE, DEFAULT_WINDOW_BYTES } from "./frame.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { localSettingPairs, type Role } from "./settings.ts";

/**
 * The preface, SETTINGS, and the connection window where it is not the default.
 * @returns by how much that window is larger
 */
export function writeFirstFlight(
  writer: FrameWriter,
  role: Role,
  options: ConnectionOptions,
): number {
  if (role === "client") writer.raw(CLIENT_PREFACE);
  writer.settings(localSettingPairs(role, options));
  const extra = options.connectionWindowBytes - DEFAULT_WINDOW_BYTES;
  if (extra > 0) writer.windowUpdate(0, extra);
  return extra;
}
