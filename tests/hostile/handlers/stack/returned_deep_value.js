// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT|TIMEOUT limit
// timeout: 200
let o = {};
for (let i = 0; i < 100000; i++) o = { o };
return o;
