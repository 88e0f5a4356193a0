// What users make with `http2.connect` and `http2.createServer` and hand over. Only the node
// transport can take it, whichever one is chosen for the rest.

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
