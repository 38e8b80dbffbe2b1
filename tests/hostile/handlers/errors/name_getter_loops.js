// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR|TIMEOUT
// timeout: 100
throw Object.defineProperty(new Error(), 'name', { get() { for (;;) {} } });
