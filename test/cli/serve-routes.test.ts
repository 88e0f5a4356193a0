// Where calls go and how backends are reached: --route, --max-call-ms, --backend-tls and
// --tls-client-ca.

import { describe, expect, it } from "vitest";
import { Frame, Server, type StreamHandler } from "../../src/index.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { makeCertificate, pemFile } from "../support/certificate.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { backend, client, echo, echoed, listening, startServe } from "./serving.ts";

describe.each(["engine", "node"] as const)("grpc-relay serve --transport %s", (transport) => {
  it("passes calls of a service or a method on to the backend of their route", async () => {
    const named =
      (name: string): StreamHandler =>
      async (stream) => {
        await stream.sendMessage(Buffer.from(name));
      };
    const [main, service, method] = await Promise.all(
      ["main", "service", "method"].map((name) => backend(named(name))),
    );
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", String(main?.address)],
      ...["--route", `/pkg.Svc/=${service?.address}`, "--route", `/pkg.Svc/One=${method?.address}`],
    );
    const conn = client(await listening(terminal));
    const answer = async (method: string): Promise<string> => {
      const call = conn.newStream(method);
      call.closeSend();
      const message = await call.recvMessage();
      return message instanceof Frame ? message.payload.toString() : String(message);
    };
    expect(await answer("/pkg.Svc/One")).toBe("method");
    expect(await answer("/pkg.Svc/Two")).toBe("service");
    expect(await answer("/pkg.Svc/OneMore")).toBe("service");
    expect(await answer("/pkg.Svc2/One")).toBe("main");
  });

  it.each(["roundRobin", "leastRequest", "pickFirst", undefined])(
    "spreads calls over the addresses of a backend (--balancing %s)",
    async (balancing) => {
      const served: string[] = [];
      const [one, two] = await Promise.all(
        ["one", "two"].map((name) =>
          backend(async (stream) => {
            served.push(name);
            await echo(stream as never);
          }),
        ),
      );
      const { terminal } = startServe(
        transport,
        ...["--listen", "127.0.0.1:0", "--backend", String(one?.address)],
        ...["--backend", String(two?.address)],
        ...(balancing === undefined ? [] : ["--balancing", balancing]),
      );
      const conn = client(await listening(terminal));
      await echoed(conn, "first");
      while (balancing !== "pickFirst" && new Set(served).size < 2) await echoed(conn, "more");
      // What is lost is at the other one.
      await two?.server.close();
      served.length = 0;
      for (let i = 0; i < 10; i++) expect(await echoed(conn, "still")).toBe("still");
      expect(new Set(served)).toEqual(new Set(["one"]));
    },
  );

  it("answers UNIMPLEMENTED where no route leads", async () => {
    const { address } = await backend(echo);
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--route", `/echo.Echo/=${address}`],
    );
    const conn = client(await listening(terminal));
    expect(await echoed(conn, "routed")).toBe("routed");
    await expect(conn.newStream("/other.Svc/One").recvMessage()).rejects.toMatchObject({
      status: 12,
      details: "no route for /other.Svc/One",
    });
  });

  it("gives calls that have no deadline one, and lets an earlier one be", async () => {
    const { address } = await backend(async (stream) => {
      const leftMs = Number(stream.context.deadline) - Date.now();
      await stream.sendMessage(Buffer.from(leftMs > 5_000 ? "late" : "early"));
    });
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", address, "--max-call-ms", "60000"],
    );
    const conn = client(await listening(terminal));
    for (const [timeoutMs, expected] of [
      [undefined, "late"],
      [600_000, "late"],
      [4_000, "early"],
    ] as const) {
      const call = conn.newStream("/a.B/C", timeoutMs === undefined ? {} : { timeoutMs });
      call.closeSend();
      expect(await call.recvMessage()).toEqual(new Frame(Buffer.from(expected)));
    }
  });

  it("reaches its backend with TLS, and takes only clients whose certificate it trusts", async () => {
    const [mine, theirs] = [makeCertificate("relay"), makeCertificate("backend.test")];
    const tlsBackend = new Server({
      unknownServiceHandler: async (stream) => {
        const { tls } = stream.context.peer;
        await stream.sendMessage(Buffer.from(String(tls?.peerCertificate?.subject.CN)));
      },
      tls: { ...theirs, ca: mine.cert, requestCert: true },
    });
    closeAtEnd(() => tlsBackend.close());
    const address = formatAddress((await tlsBackend.listen("127.0.0.1:0")).address);
    const files = { cert: pemFile("cert", mine.cert), key: pemFile("key", mine.key) };
    const { terminal } = startServe(
      transport,
      ...["--listen", "127.0.0.1:0", "--backend", address, "--backend-tls"],
      ...["--backend-ca", pemFile("ca", theirs.cert), "--backend-server-name", "backend.test"],
      ...["--backend-cert", files.cert, "--backend-key", files.key],
      ...["--tls-cert", files.cert, "--tls-key", files.key, "--tls-client-ca", files.cert],
    );
    const at = await listening(terminal);
    const call = client(at, { tls: { ca: mine.cert, ...mine } }).newStream("/a.B/C");
    call.closeSend();
    expect(await call.recvMessage()).toEqual(new Frame(Buffer.from("relay")));
    const stranger = client(at, { tls: { ca: mine.cert } });
    await expect(echoed(stranger, "x")).rejects.toMatchObject({ status: 14 });
  });
});
