// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
class Slow extends Array {
  static get [Symbol.species]() { for (;;) {} }
}
return new Slow(1, 2, 3).map((x) => x);
