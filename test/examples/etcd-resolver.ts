// Service discovery beyond DNS: every backend keeps its address under a key of etcd, with a lease,
// and whoever calls them hears at once when one comes or goes. It speaks to etcd's JSON gateway,
// which needs no library.

import { setTimeout as wait } from "node:timers/promises";
import { type ClientConn, dial, type Resolver, type ResolverListener } from "grpc-relay";

/** Before etcd is asked again after a failure, in milliseconds. */
const RETRY_MS = 1_000;

interface Range {
  readonly header: { readonly revision: string };
  readonly kvs?: readonly { readonly value: string }[];
}

/**
 * The values of all keys that begin with `prefix`: an address each.
 * @param etcd `http://127.0.0.1:2379`
 */
export function etcdResolver(etcd: string, prefix: string): Resolver {
  const closed = new AbortController();
  const { signal } = closed;
  const keys = { key: base64(prefix), range_end: base64(next(prefix)) };

  const post = async (path: string, body: object): Promise<Response> => {
    const init = { method: "POST", body: JSON.stringify(body), signal };
    const response = await fetch(new URL(path, etcd), init);
    if (!response.ok) throw new Error(`etcd answered ${path} with HTTP ${response.status}`);
    return response;
  };

  /** Tells the list as it is; the revision that it is of. */
  const tellAll = async (listener: ResolverListener): Promise<bigint> => {
    const range = (await (await post("/v3/kv/range", keys)).json()) as Range;
    const addresses = (range.kvs ?? []).map(({ value }) => Buffer.from(value, "base64").toString());
    if (addresses.length > 0) listener.onAddresses(addresses);
    else listener.onError(new Error(`etcd has no key that begins with ${prefix}`));
    return BigInt(range.header.revision);
  };

  const follow = async (listener: ResolverListener): Promise<void> => {
    const revision = await tellAll(listener);
    const watch = { create_request: { ...keys, start_revision: String(revision + 1n) } };
    const { body } = await post("/v3/watch", watch);
    // One line of JSON for each change, however it is cut; the first says that the watch stands.
    let isFirst = true;
    for await (const _chunk of body ?? []) {
      if (!isFirst) await tellAll(listener);
      isFirst = false;
    }
    throw new Error("etcd ended the watch");
  };

  const run = async (listener: ResolverListener): Promise<void> => {
    while (!signal.aborted) {
      try {
        await follow(listener);
      } catch (error) {
        if (signal.aborted) return;
        listener.onError(error instanceof Error ? error : new Error(String(error)));
        await wait(RETRY_MS, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  };

  return {
    name: "etcd",
    start: (listener) => void run(listener),
    close: () => closed.abort(),
  };
}

/** A backend that is wherever etcd says, its calls spread over all addresses. */
export function dialEtcd(etcd: string, prefix: string): ClientConn {
  return dial(etcdResolver(etcd, prefix), { balancing: "leastRequest" });
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** The first key behind all that begin with `prefix`. */
function next(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return `${prefix.slice(0, -1)}${String.fromCharCode(last + 1)}`;
}
