// SPDX-License-Identifier: Apache-2.0
// A genuine Error that inherits from a genuine denial is none itself.
// expect: error EXECUTION_ERROR mine
let real;
try { $state.a = 1; } catch (e) { real = e; }
const e = new Error('mine');
Object.setPrototypeOf(e, real);
throw e;
