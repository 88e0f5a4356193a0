import { describe, expect, it } from "vitest";
import { errorText, handshakeError } from "../../src/transport/error-text.ts";

const refused = ["::1", "127.0.0.1"].map((host) => new Error(`connect ECONNREFUSED ${host}:1`));

describe("errorText", () => {
  it.each([
    ["an error", new Error("read ECONNRESET"), "read ECONNRESET"],
    [
      "several without a message of their own",
      new AggregateError(refused),
      "connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1",
    ],
    ["several with one", new AggregateError(refused, "all failed"), "all failed"],
    ["several that are no errors", new AggregateError(["no", 1]), "no; 1"],
    ["nothing", new Error(""), ""],
    [
      "OpenSSL",
      Object.assign(
        new Error(
          "80FC6249867F0000:error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:../deps/openssl/ssl/record/rec_layer_s3.c:1601:SSL alert number 48\n",
        ),
        { library: "SSL routines", reason: "tlsv1 alert unknown ca" },
      ),
      "tlsv1 alert unknown ca",
    ],
    [
      "OpenSSL whose reason Node does not give, and which needs to be explained",
      new Error(
        "80FC62:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:x.c:350:\n",
      ),
      "wrong version number (the other side does not speak TLS)",
    ],
    ["something of more than one line", new Error("one \ntwo"), "one"],
    [
      "a certificate without names",
      Object.assign(new Error("IP: 10.0.0.7 is not in the cert's list: "), {
        code: "ERR_TLS_CERT_ALTNAME_INVALID",
        reason: "IP: 10.0.0.7 is not in the cert's list: ",
        host: "10.0.0.7",
        cert: {},
      }),
      "the certificate is not for 10.0.0.7, but for no name",
    ],
  ])("of %s", (_, error, text) => {
    expect(errorText(error)).toBe(text);
  });

  const at = (fields: object, text: string): Error => Object.assign(new Error(text), fields);
  it.each([
    [
      "10.0.0.7:50051",
      at({ address: "10.0.0.7", port: 50051 }, "connect ECONNREFUSED 10.0.0.7:50051"),
      "connect ECONNREFUSED",
    ],
    [
      "[2001:db8::7]:50051",
      at({ address: "2001:db8::7", port: 50051 }, "connect ETIMEDOUT 2001:db8::7:50051"),
      "connect ETIMEDOUT",
    ],
    [
      "orders:50051",
      at({ address: "10.0.0.7", port: 50051 }, "connect ECONNREFUSED 10.0.0.7:50051"),
      "connect ECONNREFUSED 10.0.0.7:50051",
    ],
    [
      "orders:50051",
      at({ hostname: "orders" }, "getaddrinfo ENOTFOUND orders"),
      "getaddrinfo ENOTFOUND",
    ],
    ["unix:/run/a.sock", at({}, "connect ENOENT /run/a.sock"), "connect ENOENT"],
    ["unix:", at({}, "read ECONNRESET"), "read ECONNRESET"],
    [
      "10.0.0.7:50051",
      at(
        {
          code: "ERR_TLS_CERT_ALTNAME_INVALID",
          host: "10.0.0.7",
          cert: { subjectaltname: "DNS:a, DNS:b" },
        },
        "Hostname/IP does not match",
      ),
      "the certificate is not for this host, but for DNS:a, DNS:b",
    ],
  ])("does not name %s once more", (peer, error, text) => {
    expect(errorText(error, peer)).toBe(text);
  });

  it.each([
    [undefined, "it closed the connection, as clients do that do not accept the certificate"],
    ["CERT_HAS_EXPIRED", "its certificate was not accepted (CERT_HAS_EXPIRED)"],
  ])("of a handshake says who hung up, and why: %s", (untrusted, reason) => {
    const { message } = handshakeError("a:1", new Error("socket hang up"), untrusted);
    expect(message).toBe(`a:1 failed the TLS handshake: ${reason}`);
  });

  it("of a handshake keeps the code and the error", () => {
    const cause = at({ code: "ECONNRESET" }, "read ECONNRESET");
    expect(handshakeError("10.0.0.9:4711", cause)).toMatchObject({
      message: "10.0.0.9:4711 failed the TLS handshake: read ECONNRESET",
      code: "ECONNRESET",
      cause,
    });
    expect(handshakeError("10.0.0.9:4711", new Error("x"))).not.toHaveProperty("code");
  });
});
