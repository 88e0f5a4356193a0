// A signal that is aborted in the async context of the code that asked for it first.

import { currentScope } from "../observe/scope.ts";

export class Abort {
  private readonly controller = new AbortController();
  private readonly scope = currentScope();

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  now(reason: Error): void {
    this.scope.runInAsyncScope(this.controller.abort, this.controller, reason);
  }
}
