// SPDX-License-Identifier: Apache-2.0
// CVE-2025-62493, CVE-2025-62496: as many digits as memory holds, in every radix that has a prefix.
// expect: success ["InternalError", "InternalError", "InternalError", "InternalError"]
return ['', '0x', '0o', '0b'].map((prefix) => {
  try { return typeof BigInt(prefix + '1'.repeat(2 ** 21)); } catch (e) { return e.name; }
});
