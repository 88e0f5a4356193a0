import "../support/quick-rounds.ts";
import { nodeTransport } from "../../src/transport/node/index.ts";
import { NODE_KEEPS_BLANKS } from "../support/node-abilities.ts";
import { describeTransport } from "./contract.ts";

describeTransport("node", () => nodeTransport(), {
  weaker: {
    fieldOrder: "node:http2 takes an object of names, so values of one name leave together",
    acceptedBytes: "node:http2 tells when a write was taken by nghttp2, not by the socket",
    protocolKind:
      "node:http2 shows the owner the same event for a reset by the peer and one by nghttp2",
    drainSteps: "nghttp2 ignores new streams once any GOAWAY was sent",
    requestTrailers: "node:http2 must know of request trailers before it sends the request headers",
    overdraft: "nghttp2 delivers the frame before it looks at the window",
    protocolClose: "nghttp2 sends GOAWAY for some breaches, and node:http2 does not tell its code",
    refusals: "nghttp2 resets malformed messages without telling node:http2",
    ...(NODE_KEEPS_BLANKS
      ? {}
      : { blanks: "nghttp2 drops such fields, and node:http2 cannot tell it not to" }),
    controlOctets: "nghttp2 drops such fields and tells nobody",
    goAwayPing: "node:http2 closes the session to PINGs when GOAWAY has come",
    unixAuthority: "nghttp2 resets streams whose :authority is no host",
    streamLimit: "nghttp2 answers it with a connection error",
  },
});
