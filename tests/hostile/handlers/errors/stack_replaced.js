// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR mine
const e = new Error('mine');
e.stack = '    at handler (handler:999999999999:1)\n';
throw e;
