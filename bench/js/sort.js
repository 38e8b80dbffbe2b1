// SPDX-License-Identifier: Apache-2.0
// Sorting numbers and records with a comparison in JavaScript.
let seed = 12345;
const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff);
const numbers = Array.from({ length: 12000 }, random);
numbers.sort((a, b) => a - b);
const records = Array.from({ length: 4000 }, (_, i) => ({ key: 'k' + (random() % 1000), i }));
records.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.i - b.i));
return [numbers[0], numbers[6000], records[0], records[3999]];
