// SPDX-License-Identifier: Apache-2.0
// Building, cutting and joining strings.
let text = '';
for (let i = 0; i < 20000; i++) text += 'item ' + i + ', ';
const words = text.split(', ');
const upper = words.map((w) => w.toUpperCase().padStart(12, '.'));
let sum = 0;
for (const w of upper) sum = (sum * 31 + w.charCodeAt(w.length - 1) + w.indexOf('M')) | 0;
return [upper.join('').length, sum, `${upper[77].trim()}${upper[1234].slice(3)}`];
