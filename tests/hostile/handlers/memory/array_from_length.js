// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT|TIMEOUT
// timeout: 3000
return Array.from({ length: 2 ** 32 - 2 }).length;
