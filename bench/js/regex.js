// SPDX-License-Identifier: Apache-2.0
// Regular expressions: matching, capturing, replacing.
const lines = [];
for (let i = 0; i < 2000; i++) {
  lines.push(`2026-0${1 + (i % 9)}-1${i % 10} user${i}@example.com GET /path/${i}?q=${i * 7} ${200 + (i % 4)}`);
}
let hits = 0;
for (const line of lines) {
  const m = /^(\d{4})-(\d\d)-(\d\d) ([\w.]+)@([\w.]+) (GET|POST) (\S+) (\d+)$/.exec(line);
  if (m !== null && m[8] === '200') hits += m[4].length;
}
const joined = lines.join('\n').replace(/user(\d+)/g, (_, n) => 'u' + (n % 10)).replace(/[aeiou]{2,}/g, '_');
return [hits, joined.length];
