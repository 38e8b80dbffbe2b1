// SPDX-License-Identifier: Apache-2.0
// expect: success|error
// Ends, whichever way.
// timeout: 3000
let p = {};
for (let i = 0; i < 100000; i++) p = new Proxy(p, {});
return Object.getPrototypeOf(p) === null;
