// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT|EXECUTION_ERROR|MEMORY_LIMIT
return new RegExp('('.repeat(200000) + ')'.repeat(200000)).test('x');
