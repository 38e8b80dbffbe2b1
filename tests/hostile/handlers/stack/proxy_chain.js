// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT|MEMORY_LIMIT|TIMEOUT
// timeout: 3000
let p = {};
for (let i = 0; i < 30000; i++) p = new Proxy(p, {});
return p.a;
