// Sessions of `http2.connect` and servers of `http2.createServer` that users hand over. Only the
// node transport can take them, whichever transport is chosen for the rest.

export {
  attachServer,
  type Claim,
  checkClientSession,
  checkServer,
  type HandedOverClientSession,
  type HandedOverRequestHeaders,
  type HandedOverServer,
  wrapSession,
} from "./node/index.ts";
