// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR cyclic
const e = new Error('cyclic');
e.cause = e;
throw e;
