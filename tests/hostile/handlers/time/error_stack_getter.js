// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT|EXECUTION_ERROR
// timeout: 100
const e = new Error('x');
Object.defineProperty(e, 'stack', { get() { for (;;) {} } });
throw e;
