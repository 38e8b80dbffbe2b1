// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT|EXECUTION_ERROR stack
const o = { toJSON() { return { o: JSON.stringify(o) }; } };
return o;
