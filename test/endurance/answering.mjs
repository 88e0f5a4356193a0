// How relay-process.mjs and connections-process.mjs answer their parent, and what both tell it.

/** What must not happen in this process, as text. */
export const problems = [];
process.on("uncaughtException", (error) => problems.push(`uncaught: ${error.stack}`));
process.on("unhandledRejection", (error) => problems.push(`unhandled: ${error?.stack ?? error}`));

/** The stats that every such process has, of its server and of the connections that it dialled. */
export function commonStats(server, conns) {
  const { rss, heapUsed, external } = process.memoryUsage();
  return {
    rssBytes: rss,
    heapUsedBytes: heapUsed,
    externalBytes: external,
    openCallCount: server.openCallCount,
    sessionCount: server.sessionCount,
    openStreamCount: conns.reduce((sum, conn) => sum + conn.openStreamCount, 0),
    waitingCount: conns.reduce((sum, conn) => sum + conn.waitingCount, 0),
    resources: process.getActiveResourcesInfo(),
    problems,
  };
}

/**
 * Listens, tells the parent where, and answers its commands with `stats`. After `close` nothing may
 * be left that keeps the process alive.
 * @param further commands of this process alone
 */
export async function answerParent(server, conns, stats, further) {
  let closing = false;
  // An orphan has nobody to ask it; a relay that was closed has to end by itself.
  process.on("disconnect", () => {
    if (!closing) process.exit();
  });
  const commands = {
    stats: () => undefined,
    /** With --expose-gc: what is left is what is held. */
    collect: async () => {
      for (let i = 0; i < 4; i++) {
        globalThis.gc();
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    close: async () => {
      closing = true;
      await server.close(1_000);
      await Promise.all(conns.map((conn) => conn.close()));
      setImmediate(() => process.disconnect());
    },
    ...further,
  };
  process.on("message", async ({ id, command, count }) => {
    await commands[command](count);
    process.send({ id, answer: stats() });
  });
  const { address } = await server.listen("127.0.0.1:0");
  process.send({ id: 0, answer: address });
}
