// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR circular
const o = {};
o.o = o;
return o;
