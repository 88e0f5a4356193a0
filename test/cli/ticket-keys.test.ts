import { describe, expect, it } from "vitest";
import { newTicketSecret, withTicketKeys } from "../../src/cli/ticket-keys.ts";

const TLS = { cert: "certificate", key: "key", ca: "authority" };

describe("withTicketKeys", () => {
  const secret = newTicketSecret();

  it("gives all workers the same keys, as long as node:tls takes them", () => {
    const { ticketKeys, ...tls } = withTicketKeys(secret, TLS);
    expect(tls).toEqual(TLS);
    expect(ticketKeys).toHaveLength(48);
    expect(withTicketKeys(secret, { ...TLS }).ticketKeys).toEqual(ticketKeys);
  });

  it.each([
    ["secret", newTicketSecret(), TLS],
    ["certificate", secret, { ...TLS, cert: "other" }],
    ["key", secret, { ...TLS, key: "other" }],
    ["authority", secret, { ...TLS, ca: "other" }],
  ])("gives other keys for another %s", (_, otherSecret, tls) => {
    const { ticketKeys } = withTicketKeys(secret, TLS);
    expect(withTicketKeys(otherSecret, tls).ticketKeys).not.toEqual(ticketKeys);
  });
});
