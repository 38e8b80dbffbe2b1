// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT stack
const f = () => 'aaa'.replace(/a/g, f);
return f();
