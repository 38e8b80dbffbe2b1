// SPDX-License-Identifier: Apache-2.0
// The control: ordinary recursion fits.
// expect: success 1000
const depth = (n) => (n === 0 ? 0 : 1 + depth(n - 1));
return depth(1000);
