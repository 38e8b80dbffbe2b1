// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT|MEMORY_LIMIT|EXECUTION_ERROR
// timeout: 200
return String(7n ** 10000000n).length;
