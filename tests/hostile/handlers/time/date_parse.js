// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT|MEMORY_LIMIT
// timeout: 100
for (;;) Date.parse('1970-01-01T00:00:00Z' + ' '.repeat(100000));
