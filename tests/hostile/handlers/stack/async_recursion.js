// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT|MEMORY_LIMIT stack|memory
const f = async () => { await f(); };
await f();
