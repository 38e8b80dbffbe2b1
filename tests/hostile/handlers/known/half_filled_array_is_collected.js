// SPDX-License-Identifier: Apache-2.0
// A collection of garbage while an array is being filled meets elements that have no value yet.
// expect: success [2000, 2000, 2000, 2002, 1]
const like = { length: 2000 };
const churn = () => { for (let i = 0; i < 50; i++) { const a = {}; a.self = a; a.list = [a, [a]]; } };
for (let i = 0; i < like.length; i += 7) {
  Object.defineProperty(like, i, { get() { churn(); return i; } });
}
const called = ['toSorted', 'toReversed'].map((name) => Array.prototype[name].call(like).length);
called.push(Array.prototype.with.call(like, 5, 1).length);
const spliced = Array.prototype.toSpliced.call(like, 3, 0, 'a', 'b');
return [...called, spliced.length, spliced.indexOf('b') === 4 ? 1 : 0];
