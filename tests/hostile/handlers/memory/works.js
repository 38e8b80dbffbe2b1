// SPDX-License-Identifier: Apache-2.0
// The control: a good part of the limit may be used.
// expect: success 16777216
return new Uint8Array(16 << 20).fill(1).length;
