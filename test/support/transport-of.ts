// A transport that does what a test says.

import { Transport } from "../../src/transport/transport.ts";

class MadeTransport extends Transport {
  readonly name: string;
  readonly connect: Transport["connect"];
  readonly listen: Transport["listen"];

  constructor(name: string, connect: Transport["connect"], listen: Transport["listen"]) {
    super();
    this.name = name;
    this.connect = connect;
    this.listen = listen;
  }
}

const NOT_HERE = (): never => {
  throw new Error("not here");
};

/** With `connect`, `listen` or both. */
export function transportOf(
  name: string,
  { connect, listen }: Partial<Pick<Transport, "connect" | "listen">>,
): Transport {
  return new MadeTransport(name, connect ?? NOT_HERE, listen ?? NOT_HERE);
}
