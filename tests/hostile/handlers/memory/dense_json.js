// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT|TIMEOUT
// timeout: 3000
return JSON.parse('[' + '[],'.repeat(2 ** 20) + '[]]').length;
