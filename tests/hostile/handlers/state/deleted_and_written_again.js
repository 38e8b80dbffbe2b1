// SPDX-License-Identifier: Apache-2.0
// expect: success [null, 2]
// grants: state:read:* state:write:*
// after: {"a": 2}
delete $state.a;
const gone = $state.a ?? null;
$state.a = 2;
return [gone, $state.a];
