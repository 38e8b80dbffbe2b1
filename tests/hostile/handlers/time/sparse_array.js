// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT|EXECUTION_ERROR|MEMORY_LIMIT
// timeout: 100
const list = [];
list.length = 2 ** 32 - 1;
return list.join(',').length;
