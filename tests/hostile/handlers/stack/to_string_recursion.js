// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT|EXECUTION_ERROR
const e = { toString() { return String(e); } };
throw e;
