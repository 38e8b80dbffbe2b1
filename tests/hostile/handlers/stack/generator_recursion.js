// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT stack
function* g() { yield* g(); }
for (const x of g());
