// SPDX-License-Identifier: Apache-2.0
// Building and dropping a deep structure needs no stack.
// expect: success "dropped"
let o = {};
for (let i = 0; i < 100000; i++) o = { o };
o = null;
return 'dropped';
