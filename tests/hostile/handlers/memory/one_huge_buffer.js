// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT|EXECUTION_ERROR
new ArrayBuffer(2 ** 31 - 1);
