// The names of methods: `/package.Service/Method` (gRPC PROTOCOL-HTTP2 "Path").

/** Whether `name` can be the name of a service or of a method: not empty, no slash, no space. */
export function isMethodPathPart(name: string): boolean {
  return /^[^/\s]+$/.test(name);
}

/** Whether `path` is a full method name that calls can use: `/package.Service/Method`. */
export function isMethodPath(path: string): boolean {
  return /^\/[^/\s]+\/[^/\s]+$/.test(path);
}

const SLASH = 0x2f;

/**
 * Whether the `:path` of a received call is acceptable. The check is weaker than for names of our
 * own: grpc-go accepts slashes in the name of a service, and lets handlers judge the rest.
 */
export function isReceivedMethodPath(path: string): boolean {
  return path.charCodeAt(0) === SLASH && path.includes("/", 1);
}
