// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT|RESOURCE_LIMIT
// timeout: 200
const f = () => { try { f(); } finally { f(); } };
f();
