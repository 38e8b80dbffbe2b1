// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT|MEMORY_LIMIT|EXECUTION_ERROR
// timeout: 200
return 'x'.repeat(2 ** 29).split('').length;
