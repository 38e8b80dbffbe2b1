// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT stack
const f = () => f() + 1;
return f();
