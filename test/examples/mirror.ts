// Shadow traffic: a new version gets a copy of every request. Nothing that it does can hurt a call.

import {
  type ClientConn,
  type Destination,
  Server,
  StreamParameters,
  statusName,
  transparentHandler,
} from "grpc-relay";

/**
 * @param report told when the shadow has failed otherwise than the live backend. A shadow that did
 * well is told by the channel `grpc-relay:detached:end` only.
 */
export function createProxy(
  live: ClientConn,
  shadow: ClientConn,
  report: (difference: string) => void,
): Server {
  return new Server({
    unknownServiceHandler: transparentHandler((_ctx, method) => {
      let expected: number | undefined;
      let actual: number | undefined;
      // Either may end first.
      const compare = (): void => {
        if (expected === undefined || actual === undefined || expected === actual) return;
        report(`${method}: live ${statusName(expected)}, shadow ${statusName(actual)}`);
      };

      const mirror: Destination = {
        conn: shadow,
        // It delays no call, connected or not, and its errors reach no client.
        need: "detached",
        // A shadow that is further behind than this is dropped from the call ...
        maxLagBytes: 262_144,
        // ... and one that takes longer than this when the client has been answered.
        maxDetachedMs: 10_000,
        onError: ({ status }) => {
          actual = status;
          compare();
        },
      };
      return new StreamParameters({ conn: live }, [mirror], ({ primary, secondaries: [copy] }) => {
        expected = primary.status;
        if (copy?.ended) actual = copy.status;
        compare();
      });
    }),
  });
}
