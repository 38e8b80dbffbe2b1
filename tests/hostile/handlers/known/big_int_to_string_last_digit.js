// SPDX-License-Identifier: Apache-2.0
// The last digit of a BigInt in radix 8 or 32 may need bits past its last limb.
// expect: success true
const right = [];
for (let bits = 20; bits < 400; bits++) {
  for (const radix of [2, 4, 8, 16, 32]) {
    for (const value of [2n ** BigInt(bits) - 1n, -(2n ** BigInt(bits)), 2n ** BigInt(bits)]) {
      const text = value.toString(radix), digits = text.replace('-', '');
      let read = 0n;
      for (const digit of digits) read = read * BigInt(radix) + BigInt(parseInt(digit, radix));
      right.push(read === (value < 0n ? -value : value) && (text[0] === '-') === (value < 0n) && digits[0] !== '0');
    }
  }
}
return right.every(Boolean);
