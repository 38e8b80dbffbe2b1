// SPDX-License-Identifier: Apache-2.0
// The expression is compiled anew by the conversion of lastIndex, and by the function that replaces.
// expect: success true
for (let i = 0; i < 200; i++) {
  const re = /(a+)(b+)?/g;
  re.lastIndex = { valueOf() { re.compile('(x)'.repeat(1 + i % 200)); return 0; } };
  re.exec('aaab'.repeat(20));
  const other = /(?<n>a)/g;
  'aaaa'.replace(other, () => { other.compile('b'.repeat(1000)); return ''; });
}
return true;
