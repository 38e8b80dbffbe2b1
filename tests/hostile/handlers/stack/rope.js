// SPDX-License-Identifier: Apache-2.0
// Strings built from both ends.
// expect: success 40000
let s = '';
for (let i = 0; i < 20000; i++) s = i % 2 ? 'ab' + s : s + 'cd';
return s.length;
