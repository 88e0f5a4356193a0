// The contract that every transport keeps: what src/transport/transport.ts says, sentence by
// sentence, on both sides, against raw frames where the transport has a wire and against itself.

import { describe } from "vitest";
import type { Transport } from "../../src/transport/transport.ts";
import { breachCases } from "./contract/breaches.ts";
import { creditCases } from "./contract/credit.ts";
import { dataCases } from "./contract/data.ts";
import { goAwayCases } from "./contract/goaway.ts";
import type { Contract, Weakness } from "./contract/harness.ts";
import { headerCases } from "./contract/headers.ts";
import { keepaliveCases, serverKeepaliveCases } from "./contract/keepalive.ts";
import { limitCases } from "./contract/limits.ts";
import { listenerCases } from "./contract/listener.ts";
import { peerResetCases } from "./contract/peer-reset.ts";
import { reentrancyCases } from "./contract/reentrancy.ts";
import { refusalCases } from "./contract/refusals.ts";
import { resetCases } from "./contract/reset.ts";
import { sessionCases } from "./contract/session.ts";
import { stallCases } from "./contract/stalls.ts";
import { untidyFieldCases } from "./contract/untidy-fields.ts";
import { watchCases } from "./contract/watch.ts";

export interface ContractOptions {
  /** It speaks HTTP/2 on sockets, so scripted peers can talk to it. @default true */
  readonly sockets?: boolean;
  /** What it is known not to be able to do, each with the reason. @default nothing */
  readonly weaker?: Readonly<Partial<Record<Weakness, string>>>;
}

/** Registers the contract's cases for the transport that `makeTransport` makes. */
export function describeTransport(
  name: string,
  makeTransport: () => Transport,
  options: ContractOptions = {},
): void {
  const contract: Contract = {
    makeTransport,
    sockets: options.sockets ?? true,
    weaker: options.weaker ?? {},
  };
  describe(`${name} transport`, () => {
    headerCases(contract);
    untidyFieldCases(contract);
    dataCases(contract);
    creditCases(contract);
    resetCases(contract);
    peerResetCases(contract);
    goAwayCases(contract);
    sessionCases(contract);
    watchCases(contract);
    limitCases(contract);
    refusalCases(contract);
    breachCases(contract);
    reentrancyCases(contract);
    if (contract.sockets) {
      listenerCases(contract);
      keepaliveCases(contract);
      serverKeepaliveCases(contract);
      stallCases(contract);
    }
  });
}
