// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT|EXECUTION_ERROR stack
let a = [];
for (let i = 0; i < 100000; i++) a = [a];
return String(a);
