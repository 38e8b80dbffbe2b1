// SPDX-License-Identifier: Apache-2.0
// Arrays that are cut, frozen or made sparse by what a method calls in its middle.
// expect: success true
const cut = (list) => ({ valueOf() { list.length = 1; list[50000] = 1; return 0; }, toString() { list.length = 0; return 'x'; } });
for (const name of ['join', 'indexOf', 'lastIndexOf', 'includes', 'fill', 'splice', 'slice', 'copyWithin', 'with',
  'at', 'flat', 'toSpliced', 'unshift', 'concat']) {
  const list = Array.from({ length: 2000 }, (_, i) => i);
  list[7] = cut(list);
  try { list[name](cut(list), cut(list), cut(list)); } catch (e) { if (!(e instanceof Error)) return name; }
}
for (const name of ['map', 'filter', 'reduceRight', 'sort', 'findLast', 'flatMap', 'forEach']) {
  const list = Array.from({ length: 2000 }, (_, i) => [i]);
  try { list[name]((a) => { list.length = 3; list.push({}); return a; }); } catch (e) { if (!(e instanceof Error)) return name; }
}
return true;
