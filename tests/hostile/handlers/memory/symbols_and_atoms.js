// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT|TIMEOUT
// timeout: 3000
const o = {};
for (let i = 0; ; i++) o['key' + i + 'x'.repeat(1000)] = i;
