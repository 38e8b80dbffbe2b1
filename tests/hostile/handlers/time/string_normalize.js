// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT|MEMORY_LIMIT
// timeout: 150
for (;;) '\u1e9b\u0323'.repeat(200000).normalize('NFKD');
