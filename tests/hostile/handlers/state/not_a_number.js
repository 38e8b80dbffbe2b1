// SPDX-License-Identifier: Apache-2.0
// As JSON has it.
// expect: success null
// grants: state:read:* state:write:*
// after: {"a": null, "b": null, "c": 0}
$state.a = NaN;
$state.b = -Infinity;
$state.c = -0;
return null;
