// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT|MEMORY_LIMIT|EXECUTION_ERROR time|memory|length
// timeout: 200
return Object.keys(new Proxy({}, { ownKeys() { return { length: 2 ** 31, get 0() { for (;;) {} } }; } }));
