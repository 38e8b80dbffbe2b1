// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
const endless = {
  [Symbol.iterator]() { return this; },
  next() { return { value: 1, done: false }; },
  return() { for (;;) {} },
};
Array.from(endless, () => { for (;;) {} });
