// SPDX-License-Identifier: Apache-2.0
// ArrayBuffer.prototype.slice, where the species gives back the same buffer, a small one, or none.
// expect: success ["TypeError", "TypeError", "TypeError", "TypeError"]
const slice = (make) => {
  const buffer = new ArrayBuffer(64);
  buffer.constructor = { [Symbol.species]: function () { return make(buffer); } };
  try { return buffer.slice(0, 32).byteLength; } catch (e) { return e.name; }
};
return [slice((same) => same), slice(() => new ArrayBuffer(1)), slice(() => ({})), slice(() => new Uint8Array(64))];
