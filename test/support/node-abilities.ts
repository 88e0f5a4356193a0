// Abilities of the Node.js that runs the tests.

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);

/**
 * Whether its node:http2 has `strictFieldWhitespaceValidation`. Without that option, fields with
 * blanks around their value are lost.
 */
export const NODE_KEEPS_BLANKS: boolean =
  major > 24 || (major === 24 && minor >= 2) || (major === 22 && minor >= 17);
