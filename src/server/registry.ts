// The handlers of registered methods.

import { checkObject } from "../check/check.ts";
import { isMethodPathPart } from "../grpc/method-path.ts";
import type { StreamHandler } from "./interceptor.ts";

export class ServiceRegistry {
  readonly #services = new Set<string>();
  readonly #handlers = new Map<string, StreamHandler>();

  /**
   * @throws {TypeError} for a name that no path can have, a handler that is no function, and a
   *   service without methods
   * @throws {Error} when the service is registered already
   */
  register(service: string, handlers: Readonly<Record<string, StreamHandler>>): void {
    if (!isMethodPathPart(service)) {
      throw new TypeError(
        `service name: expected "package.Service", got ${JSON.stringify(service)}`,
      );
    }
    checkObject(`handlers of service ${service}`, handlers);
    if (this.#services.has(service)) {
      throw new Error(`service ${service} is registered already`);
    }
    const methods = Object.entries(handlers);
    if (methods.length === 0) {
      throw new TypeError(`service ${service}: expected at least one method, got none`);
    }
    for (const [method, handler] of methods) {
      if (!isMethodPathPart(method)) {
        throw new TypeError(
          `method name of ${service}: expected "Method", got ${JSON.stringify(method)}`,
        );
      }
      if (typeof handler !== "function") {
        throw new TypeError(
          `handler of /${service}/${method}: expected a function, got ${typeof handler}`,
        );
      }
    }
    this.#services.add(service);
    for (const [method, handler] of methods) this.#handlers.set(`/${service}/${method}`, handler);
  }

  lookUp(fullMethod: string): StreamHandler | undefined {
    // Most proxies register nothing, and the name would be hashed for each call.
    return this.#handlers.size === 0 ? undefined : this.#handlers.get(fullMethod);
  }

  hasService(service: string): boolean {
    return this.#services.has(service);
  }
}
