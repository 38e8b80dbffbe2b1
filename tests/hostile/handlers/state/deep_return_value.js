// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR nested
let o = 1;
for (let i = 0; i < 300; i++) o = [o];
return o;
