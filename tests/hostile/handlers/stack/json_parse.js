// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT|EXECUTION_ERROR stack
return JSON.parse('['.repeat(1000000));
