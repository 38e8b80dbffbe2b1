// SPDX-License-Identifier: Apache-2.0
// Objects: property reads and writes, classes, closures, maps.
class Point {
  constructor(x, y) { this.x = x; this.y = y; }
  add(other) { return new Point(this.x + other.x, this.y + other.y); }
  get length() { return this.x * this.x + this.y * this.y; }
}
let p = new Point(0, 0);
const step = new Point(1, 2);
for (let i = 0; i < 60000; i++) { p = p.add(step); if (p.length > 1e6) p = new Point(i % 10, 0); }
const counts = new Map(), byName = {};
for (let i = 0; i < 60000; i++) {
  const key = 'k' + (i % 97);
  counts.set(key, (counts.get(key) || 0) + 1);
  byName[key] = (byName[key] || 0) + i;
}
return [p.x, p.y, counts.size, byName.k42];
