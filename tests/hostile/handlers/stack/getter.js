// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT stack
const o = { get a() { return this.a; } };
return o.a;
