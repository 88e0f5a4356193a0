// Shadow traffic: a new version gets a copy of every request, and nothing that it does can hurt a call.

import {
  type ClientConn,
  type Destination,
  Server,
  StreamParameters,
  statusName,
  transparentHandler,
} from "grpc-relay";

/** @param report told when the shadow answers otherwise than the live backend */
export function createProxy(
  live: ClientConn,
  shadow: ClientConn,
  report: (difference: string) => void,
): Server {
  const mirror: Destination = {
    conn: shadow,
    // Returning nothing swallows the error: the client never hears of it.
    onError: () => {},
    // A shadow that is slower than the live backend is dropped from the call instead of slowing the client down.
    lag: { policy: "drop", maxLagBytes: 262_144 },
  };

  return new Server({
    unknownServiceHandler: transparentHandler(() => {
      // A destination that cannot be opened fails the call, so one that is not connected is left out.
      const shadows = shadow.state === "ready" ? [mirror] : [];
      shadow.connect();
      return new StreamParameters({ conn: live }, shadows, ({ method, primary, secondaries }) => {
        for (const { status } of secondaries) {
          if (status === primary.status) continue;
          report(`${method}: live ${statusName(primary.status)}, shadow ${statusName(status)}`);
        }
      });
    }),
  });
}
