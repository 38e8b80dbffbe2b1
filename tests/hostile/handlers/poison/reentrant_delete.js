// SPDX-License-Identifier: Apache-2.0
// expect: success 1
// grants: state:read:* state:write:*
// state: {"o": {"n": 0}, "p": {"n": 0}}
$state.p.n = 1;
$state.o.toJSON = () => { delete $state.p; delete $state.o; return 5; };
return 1;
