// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR mine
const e = new Error('mine');
e.stack = { toString() { throw new Error('hostile'); } };
throw e;
