import { engineTransport } from "../../src/transport/engine/index.ts";
import { describeTransport } from "./contract.ts";

describeTransport("engine", () => engineTransport());
