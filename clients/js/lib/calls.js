// SPDX-License-Identifier: Apache-2.0
// Calls over one live panel: those that wait to be sent, and those that wait for their result. What was
// sent once is never sent again: it may have run.
import {
  ClosedError, ConnectionError, ExecutionError, QueueFullError, TimeoutError, refusal,
} from './errors.js';

export class Calls {
  #waiting = []; // in order, not sent yet
  #sent = new Map(); // requestId -> call
  #limits;
  #prefix = Math.random().toString(36).slice(2, 10);
  #count = 0;
  #pump;

  /** `pump` is called when something may be sent: it takes calls with `take`. */
  constructor(limits, pump) {
    this.#limits = limits;
    this.#pump = pump;
  }

  get size() {
    return this.#waiting.length + this.#sent.size;
  }

  /** A new call: resolves to its result. */
  add(tool, args, { timeoutMs = 0, signal, onProgress } = {}, cancel = () => {}) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (this.#waiting.length >= this.#limits.maxQueued)
        throw new QueueFullError(this.#limits.maxQueued);
      const call = { tool, args, onProgress, requestId: `${this.#prefix}-${++this.#count}` };
      const abandon = (error) => {
        const waits = this.#waiting.indexOf(call);
        if (waits >= 0) this.#waiting.splice(waits, 1);
        else cancel(call.requestId); // stays in #sent: the server counts it until it has ended
        call.settle(reject, error);
      };
      const onAbort = () => abandon(signal.reason);
      const timer = timeoutMs > 0 && setTimeout(
        () => abandon(new TimeoutError(`no result within ${timeoutMs} ms`, {
          mayHaveRun: this.#sent.has(call.requestId),
        })), timeoutMs);
      call.settle = (how, value) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        call.settle = () => {};
        how(value);
      };
      call.resolve = (value) => call.settle(resolve, value);
      call.reject = (error) => call.settle(reject, error);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(call);
      this.#pump();
    });
  }

  /** The next message to send, or null: none waits, or the server has enough to do. */
  take() {
    if (this.#waiting.length === 0 || this.#sent.size >= this.#limits.maxInFlight) return null;
    const call = this.#waiting.shift();
    this.#sent.set(call.requestId, call);
    return { type: 'TRIGGER', tool: call.tool, args: call.args, requestId: call.requestId };
  }

  progress(message) {
    this.#sent.get(message.requestId)?.onProgress?.(message);
  }

  result({ type, requestId, ...result }) {
    this.#end(requestId, (call) =>
      result.status === 'error' ? call.reject(new ExecutionError(result)) : call.resolve(result));
  }

  /** Whether the refusal was one of a call. */
  refused(message) {
    return this.#end(message.requestId, (call) => call.reject(refusal({ ...message, status: 0 })));
  }

  #end(requestId, settle) {
    const call = this.#sent.get(requestId);
    if (!call) return false;
    this.#sent.delete(requestId);
    settle(call);
    this.#pump();
    return true;
  }

  /** The connection is gone: what was sent may have run; what waits is sent on the next one. */
  lost(cause) {
    const calls = [...this.#sent.values()];
    this.#sent.clear();
    for (const call of calls)
      call.reject(new ConnectionError('the connection ended before the result', { mayHaveRun: true, cause }));
  }

  /** There will be no other connection. */
  close(error = new ClosedError('the live panel is closed')) {
    this.lost(error);
    for (const call of this.#waiting.splice(0)) call.reject(error);
  }
}
