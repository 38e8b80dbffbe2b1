// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT|MEMORY_LIMIT
// timeout: 100
for (;;) 'ab'.repeat(2 ** 20).split('a');
