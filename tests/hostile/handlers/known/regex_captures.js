// SPDX-License-Identifier: Apache-2.0
// More groups than the engine has room for, named and not, and references past the last.
// expect: success ["SyntaxError", "SyntaxError", "SyntaxError", 255]
const groups = (count, name) => Array.from({ length: count }, (_, i) => `(${name ? `?<n${i}>` : ''}a?)`).join('');
const tries = [groups(255), groups(1000), groups(300, true)].map((source) => {
  try { return new RegExp(source).exec('a').length; } catch (e) { return e.name; }
});
return [...tries, new RegExp(groups(254)).exec('a').length];
