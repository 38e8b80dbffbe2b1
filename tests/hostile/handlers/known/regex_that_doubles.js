// SPDX-License-Identifier: Apache-2.0
// CVE-2025-62495: every level doubles the compiled expression; past 2 GiB its offsets wrapped.
// expect: success|error
let source = 'a';
for (let i = 0; i < 40; i++) source = `(?:${source}|)+`;
return new RegExp(source).exec('a');
