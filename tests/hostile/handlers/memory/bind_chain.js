// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT|RESOURCE_LIMIT
let f = () => 1;
for (;;) f = f.bind(null, 'x'.repeat(1000));
