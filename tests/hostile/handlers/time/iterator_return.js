// SPDX-License-Identifier: Apache-2.0
// The interruption closes no iterator, or closing it is interrupted in turn.
// expect: error TIMEOUT running time
// timeout: 100
// grants: state:write:*
const endless = {
  [Symbol.iterator]() { return this; },
  next() { return { value: 1, done: false }; },
  return() { for (;;) {} },
};
for (const one of endless) { for (;;) {} }
