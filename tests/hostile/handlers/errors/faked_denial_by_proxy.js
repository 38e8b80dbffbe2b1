// SPDX-License-Identifier: Apache-2.0
// A prototype that answers everything is not asked what kind of error this is.
// expect: error EXECUTION_ERROR
const e = new Error('mine');
Object.setPrototypeOf(e, new Proxy({}, {
  get: (target, key) => (typeof key === 'symbol' ? 1 : undefined),
  has: () => true,
}));
throw e;
