// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT stack
const f = () => [1, 2, 3].sort(f);
f();
