// `serve --backend` and `--route`: which backend a method goes to.

import { usageError } from "./command-error.ts";
import type { Flag, GivenFlags } from "./flags.ts";

export const BACKEND: Flag = {
  name: "backend",
  value: "TARGET",
  repeatable: true,
  text: "where to pass calls on to; several are addresses of one backend",
};

export const ROUTE: Flag = {
  name: "route",
  value: "PATH=TARGET",
  repeatable: true,
  text: "where calls of one service (/pkg.Service/) or method (/pkg.Service/Method) go\ninstead; several of one path are addresses of one backend",
};

/** One backend of the command line. */
interface Route {
  /** `/pkg.Service/` or `/pkg.Service/Method`; `undefined` for all that no other route has. */
  readonly path: string | undefined;
  readonly targets: readonly string[];
}

/**
 * The backends that were named, in order.
 * @throws {CommandError} usage, when there is none or one cannot be read
 */
export function readRoutes(flags: GivenFlags): readonly Route[] {
  const routes = new Map<string | undefined, string[]>();
  const add = (path: string | undefined, target: string): void => {
    const targets = routes.get(path);
    if (targets === undefined) routes.set(path, [target]);
    else targets.push(target);
  };
  for (const target of flags.all(BACKEND.name)) add(undefined, target);
  for (const text of flags.all(ROUTE.name)) {
    const match = /^(\/[^/\s=]+\/[^/\s=]*)=(.+)$/.exec(text);
    if (match === null) {
      throw usageError(
        `--route: expected /pkg.Service/=TARGET or /pkg.Service/Method=TARGET, got ${JSON.stringify(text)}`,
      );
    }
    const [, path = "", target = ""] = match;
    add(path, target);
  }
  if (routes.size === 0) {
    throw usageError(`expected --backend ${BACKEND.value} or --route ${ROUTE.value}, got none`);
  }
  return [...routes].map(([path, targets]) => ({ path, targets }));
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
