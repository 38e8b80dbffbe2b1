// SPDX-License-Identifier: Apache-2.0
// A key that may be written but not read gives nothing back.
// expect: success ["PERMISSION_DENIED", "PERMISSION_DENIED", []]
// grants: state:write:*
// after: {"a": 9}
const codes = [];
$state.a = 9;
try { codes.push($state.a); } catch (e) { codes.push(e.code); }
try { codes.push('a' in $state); } catch (e) { codes.push(e.code); }
return [...codes, Object.keys($state)];
