// SPDX-License-Identifier: Apache-2.0
// expect: error MEMORY_LIMIT memory
for (;;) Promise.resolve().then(() => {});
