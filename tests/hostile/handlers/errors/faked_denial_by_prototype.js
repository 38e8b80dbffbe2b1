// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR
let real;
try { $state.a = 1; } catch (e) { real = e; }
const fake = Object.create(real);
throw fake;
