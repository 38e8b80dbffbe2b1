// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT stack
const p = new Proxy({}, { get: (t, k, r) => r[k] });
return p.a;
