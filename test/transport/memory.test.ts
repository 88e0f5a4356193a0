import { MemoryNetwork } from "../support/memory-network.ts";
import { memoryTransport } from "../support/memory-transport.ts";
import { describeTransport } from "./contract.ts";

const network = new MemoryNetwork();
describeTransport("memory", () => memoryTransport(network), { sockets: false });
