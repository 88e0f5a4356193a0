// The names of methods: `/package.Service/Method` (gRPC PROTOCOL-HTTP2 "Path").

/** Whether it can be the name of a service or of a method: not empty, no slash, no space. */
export function isMethodPathPart(name: string): boolean {
  return /^[^/\s]+$/.test(name);
}

/** Whether calls can be made by this name: `/package.Service/Method`. */
export function isMethodPath(path: string): boolean {
  return /^\/[^/\s]+\/[^/\s]+$/.test(path);
}

const SLASH = 0x2f;

/**
 * Whether a call that comes with this `:path` is one: less is asked of it than of a name of our
 * own, because grpc-go takes a service with slashes in its name and lets handlers judge the rest.
 */
export function isReceivedMethodPath(path: string): boolean {
  return path.charCodeAt(0) === SLASH && path.includes("/", 1);
}
