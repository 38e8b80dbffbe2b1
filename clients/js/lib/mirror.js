// SPDX-License-Identifier: Apache-2.0
// The panel's state as this side knows it. Versions rise by one a commit; where one is missing, the
// state is asked for again, and what comes in the meantime is kept, up to a limit.

/** A copy with the mutations made. Keys are the panel's: `__proto__` is one like any other. */
function mutated(state, mutations) {
  const copy = { ...state };
  for (const { operation, key, value } of mutations) {
    if (operation === 'delete') delete copy[key];
    else Object.defineProperty(copy, key, { value, enumerable: true, writable: true, configurable: true });
  }
  return copy;
}

export class Mirror {
  state = undefined;
  version = 0;
  #kept = []; // patches that came after a gap
  #maxKept;
  #onChange;
  #onGap;

  /** `onChange(change)` after each one; `onGap()` when the state must be asked for: `replace` ends it. */
  constructor({ maxKept, onChange, onGap }) {
    this.#maxKept = maxKept;
    this.#onChange = onChange;
    this.#onGap = onGap;
  }

  patch({ version, mutations }) {
    if (version <= this.version) return; // known, by a state that was asked for
    if (this.#kept.length === 0 && version === this.version + 1) {
      this.#set(mutated(this.state, mutations), version, { cause: 'patch', mutations });
      return;
    }
    // Past the limit the oldest go: the gap behind them is found when it is their turn.
    if (this.#kept.length >= this.#maxKept) this.#kept.shift();
    this.#kept.push({ version, mutations });
    this.#onGap();
  }

  /** The whole state as of `version`, by `cause`. */
  replace(state, version, cause) {
    if (cause === 'connected') this.#kept = []; // of the connection before
    // A connection begins anew: a server that was started again counts from 1.
    // Of the same version, it may have keys that were not subscribed to.
    if (cause !== 'refetched' || version >= this.version) this.#set(state, version, { cause });
    const kept = this.#kept.splice(0);
    for (const patch of kept) this.patch(patch);
  }

  #set(state, version, change) {
    this.state = state;
    this.version = version;
    this.#onChange({ state, version, ...change });
  }
}
