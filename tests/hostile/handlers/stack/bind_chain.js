// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT|MEMORY_LIMIT
let f = () => 1;
for (let i = 0; i < 100000; i++) f = f.bind();
return f();
