// SPDX-License-Identifier: Apache-2.0
// JSON there and back.
const rows = [];
for (let i = 0; i < 500; i++) {
  rows.push({ id: i, name: 'row ' + i, tags: ['a', 'b', String(i % 7)], nested: { on: i % 2 === 0, at: i / 3 } });
}
let bytes = 0, last = rows;
for (let i = 0; i < 12; i++) {
  const text = JSON.stringify(last);
  bytes += text.length;
  last = JSON.parse(text);
}
return [bytes, last[499].nested.at];
