import { describe, expect, it } from "vitest";
import { StreamStalls } from "../../src/transport/stream-stalls.ts";
import { FakeClock } from "../support/clock.ts";

const TIMEOUT_MS = 8_000;
const LOOK_MS = TIMEOUT_MS / 8;

/** Streams by name, with what went out of each; all of them wait. */
function watched() {
  const clock = new FakeClock();
  const sent = new Map<string, number>();
  const stalled: string[] = [];
  const session = {
    starved: () => [...sent.keys()],
    sentMark: (stream: string) => sent.get(stream) ?? -1,
    onStreamStalled: (stream: string) => {
      stalled.push(stream);
      sent.delete(stream);
    },
  };
  const watch = StreamStalls.of(TIMEOUT_MS, clock, session);
  watch?.begin();
  return { clock, sent, stalled, watch, session };
}

describe("the watch of streams", () => {
  it("finds a stream of which nothing went out for the whole time, and no other", () => {
    const { clock, sent, stalled } = watched();
    sent.set("still", 5);
    for (let look = 0; look < 9; look++) {
      expect(stalled).toEqual([]);
      sent.set("slow", look);
      clock.advance(LOOK_MS);
    }
    expect(stalled).toEqual(["still"]);
  });

  it("begins anew when a little went out", () => {
    const { clock, sent, stalled } = watched();
    sent.set("slow", 0);
    clock.advance(8 * LOOK_MS);
    sent.set("slow", 1);
    clock.advance(8 * LOOK_MS);
    expect(stalled).toEqual([]);
    clock.advance(LOOK_MS);
    expect(stalled).toEqual(["slow"]);
  });

  it("begins anew when nothing has waited meanwhile", () => {
    const { clock, sent, stalled } = watched();
    sent.set("bursts", 0);
    clock.advance(8 * LOOK_MS);
    sent.delete("bursts");
    clock.advance(LOOK_MS);
    sent.set("bursts", 0);
    clock.advance(8 * LOOK_MS);
    expect(stalled).toEqual([]);
  });

  it("ends when it is stopped, also by an owner that it tells", () => {
    const { clock, sent, session, watch } = watched();
    sent.set("still", 0);
    session.onStreamStalled = () => watch?.stop();
    clock.advance(9 * LOOK_MS);
    expect(clock.timerCount).toBe(0);
  });

  it("is none when there is no bound", () => {
    const { clock, session } = watched();
    expect(StreamStalls.of(Number.POSITIVE_INFINITY, clock, session)).toBeUndefined();
  });
});
