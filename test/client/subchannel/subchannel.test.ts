// One address: what its owner may ask of it, and is told.

import { expect, it } from "vitest";
import { resolveDialOptions } from "../../../src/client/dial-options.ts";
import { ConnectHistory } from "../../../src/client/subchannel/connect-history.ts";
import type { StreamOpener } from "../../../src/client/subchannel/stream-opener.ts";
import { Subchannel } from "../../../src/client/subchannel/subchannel.ts";
import { FakeClock } from "../../support/clock.ts";
import { StubSession } from "../../support/stub-session.ts";

function stubSubchannel() {
  const sessions: StubSession[] = [];
  const told: unknown[] = [];
  const owner: ConstructorParameters<typeof Subchannel>[3] = {
    isWanted: () => false,
    onChange: (which, { kind }) => told.push([which.target, kind]),
    onRoom: (which) => told.push([which.target, "room", which.room]),
    onCapacity: () => {},
    onEmpty: (which) => told.push([which.target, "empty"]),
  };
  const source = {
    reconnects: true,
    connect: (listener: ConstructorParameters<typeof StubSession>[0]) => {
      const session = new StubSession(listener);
      sessions.push(session);
      return session;
    },
  };
  const options = resolveDialOptions({ clock: new FakeClock() });
  const past = { source, history: new ConnectHistory(options) };
  const subchannel = new Subchannel("10.0.0.7:1", past, options, owner);
  return { subchannel, sessions, told };
}

it("tells its owner of states, room and the end, and says whose a session is", () => {
  const { subchannel, sessions, told } = stubSubchannel();
  expect([subchannel.hasRoom, subchannel.peer]).toEqual([false, undefined]);
  subchannel.wantRoom();
  const [session] = sessions as [StubSession];
  expect([subchannel.hasRoom, subchannel.peer]).toEqual([false, undefined]);
  session.becomeReady();
  expect([subchannel.hasRoom, subchannel.room]).toEqual([true, 100]);
  expect(subchannel.peer).toBe(session.peer);
  expect(Subchannel.of(session)).toBe(subchannel);
  expect(Subchannel.of(new StubSession(session.listener))).toBeUndefined();
  subchannel.shutDown("it is left");
  expect(session.drained).toBe(1);
  session.closed();
  const events = [["connecting"], ["ready"], ["room", 100], ["shutdown"], ["empty"]];
  expect(told).toEqual(events.map((event) => ["10.0.0.7:1", ...event]));
});

it("opens no stream where there is no room", () => {
  const { subchannel } = stubSubchannel();
  expect(subchannel.openStream({} as StreamOpener)).toBe(false);
});
