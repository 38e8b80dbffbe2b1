// SPDX-License-Identifier: Apache-2.0
// expect: success 1
// grants: state:write:*
// after: {"a": 5}
$state.a = 5;
try { new Uint8Array(2 ** 30); } catch { return 1; }
