import { describe, expect, it } from "vitest";
import { registerService, transparentHandler } from "../../src/proxy/transparent-handler.ts";
import type { StreamHandler } from "../../src/server/interceptor.ts";
import { ServiceRegistry } from "../../src/server/registry.ts";
import { Server } from "../../src/server/server.ts";

const handler: StreamHandler = () => {};

describe("ServiceRegistry", () => {
  it("finds a method by its full name and by nothing else", () => {
    const registry = new ServiceRegistry();
    registry.register("pkg.Service", { A: handler });
    expect(registry.lookUp("/pkg.Service/A")).toBe(handler);
    for (const name of ["/pkg.Service/a", "pkg.Service/A", "/pkg.Service/A/", "/pkg.Service/B"]) {
      expect(registry.lookUp(name)).toBeUndefined();
    }
    expect(registry.hasService("pkg.Service")).toBe(true);
    expect(registry.hasService("pkg")).toBe(false);
  });

  it.each(["constructor", "__proto__", "toString"])("knows no service %s of its own", (name) => {
    const registry = new ServiceRegistry();
    expect(registry.hasService(name)).toBe(false);
    expect(registry.lookUp(`/${name}/${name}`)).toBeUndefined();
  });

  it("refuses a service that is registered already, and keeps the first", () => {
    const registry = new ServiceRegistry();
    registry.register("pkg.Service", { A: handler });
    expect(() => registry.register("pkg.Service", { B: handler })).toThrow(
      "service pkg.Service is registered already",
    );
    expect(registry.lookUp("/pkg.Service/B")).toBeUndefined();
  });

  it.each([
    ["", { A: handler }, 'service name: expected "package.Service", got ""'],
    ["/pkg.Service", { A: handler }, "service name"],
    ["pkg Service", { A: handler }, "service name"],
    ["pkg.Service", {}, "expected at least one method, got none"],
    ["pkg.Service", { "": handler }, "method name of pkg.Service"],
    ["pkg.Service", { "a/b": handler }, 'expected "Method", got "a/b"'],
    ["pkg.Service", { A: "no" }, "handler of /pkg.Service/A: expected a function, got string"],
  ])("refuses %j with methods %o", (service, handlers, text) => {
    const registry = new ServiceRegistry();
    const register = () =>
      registry.register(service, handlers as Readonly<Record<string, StreamHandler>>);
    expect(register).toThrow(TypeError);
    expect(register).toThrow(text);
    expect(registry.hasService(service)).toBe(false);
  });
});

describe("registerService", () => {
  it("refuses no methods, and a director that is no function", () => {
    const server = new Server();
    const director = () => {
      throw new Error("not called");
    };
    expect(() => registerService(server, director, "pkg.Service")).toThrow(TypeError);
    expect(() => registerService(server, "x" as never, "pkg.Service", "A")).toThrow(
      "director: expected a function, got string",
    );
    expect(() => transparentHandler(director, { maxPeekBytes: -1 })).toThrow(RangeError);
  });
});
