// `serve --backend` and `--route`: which backend a method goes to.

import { usageError } from "./command-error.ts";
import type { Flag, GivenFlags } from "./flags.ts";

export const BACKEND: Flag = {
  name: "backend",
  value: "TARGET",
  text: "where to pass calls on to",
};

export const ROUTE: Flag = {
  name: "route",
  value: "PATH=TARGET",
  repeatable: true,
  text: "where calls of one service (/pkg.Service/) or method (/pkg.Service/Method) go\ninstead",
};

/** One backend of the command line. */
interface Route {
  /** `/pkg.Service/` or `/pkg.Service/Method`; `undefined` for all that no other route has. */
  readonly path: string | undefined;
  readonly target: string;
}

/**
 * The backends that were named, in order.
 * @throws {CommandError} usage, when there is none or one cannot be read
 */
export function readRoutes(flags: GivenFlags): readonly Route[] {
  const routes = new Map<string | undefined, string>();
  const backend = flags.one(BACKEND.name);
  if (backend !== undefined) routes.set(undefined, backend);
  for (const text of flags.all(ROUTE.name)) {
    const match = /^(\/[^/\s=]+\/[^/\s=]*)=(.+)$/.exec(text);
    if (match === null) {
      throw usageError(
        `--route: expected /pkg.Service/=TARGET or /pkg.Service/Method=TARGET, got ${JSON.stringify(text)}`,
      );
    }
    const [, path = "", target = ""] = match;
    if (routes.has(path)) throw usageError(`--route: expected ${path} once, got it again`);
    routes.set(path, target);
  }
  if (routes.size === 0) {
    throw usageError(`expected --backend ${BACKEND.value} or --route ${ROUTE.value}, got none`);
  }
  return [...routes].map(([path, target]) => ({ path, target }));
}

/** Finds the target of a method: that of the method, that of its service, or that of all others. */
export class RouteTable<T> {
  readonly #byPath: ReadonlyMap<string | undefined, T>;

  constructor(entries: Iterable<readonly [path: string | undefined, destination: T]>) {
    this.#byPath = new Map(entries);
  }

  find(fullMethodName: string): T | undefined {
    const service = fullMethodName.slice(0, fullMethodName.indexOf("/", 1) + 1);
    return (
      this.#byPath.get(fullMethodName) ?? this.#byPath.get(service) ?? this.#byPath.get(undefined)
    );
  }
}
