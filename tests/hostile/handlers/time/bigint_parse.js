// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT|MEMORY_LIMIT|EXECUTION_ERROR|RESOURCE_LIMIT
// timeout: 200
return String(BigInt('9'.repeat(5000000))).length;
