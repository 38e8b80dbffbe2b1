// SPDX-License-Identifier: Apache-2.0
// What most handlers do: lists of records filtered, mapped, grouped; spread and destructuring.
let items = Array.from({ length: 3000 }, (_, id) => ({ id, owner: 'user' + (id % 50), price: (id * 37) % 1000, done: id % 3 === 0 }));
let total = 0;
for (let round = 0; round < 6; round++) {
  items = items.map((item) => ({ ...item, price: item.price + 1, done: !item.done }));
  const open = items.filter(({ done }) => !done);
  const groups = open.reduce((acc, { owner, price }) => {
    (acc[owner] ??= []).push(price);
    return acc;
  }, {});
  for (const [owner, prices] of Object.entries(groups)) total += prices.reduce((a, b) => a + b, 0) + owner.length;
}
return [total, items[7]];
