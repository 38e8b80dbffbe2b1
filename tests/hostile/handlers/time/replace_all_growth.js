// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT|MEMORY_LIMIT|EXECUTION_ERROR
// timeout: 200
let s = 'aa';
for (;;) s = s.replaceAll('a', 'aa');
