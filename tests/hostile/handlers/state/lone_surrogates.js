// SPDX-License-Identifier: Apache-2.0
// expect: success ["\ud800", "\udfff", true]
// grants: state:read:* state:write:*
$state.v = '\ud800';
$state['k\udfff'] = '\udfff';
return [$state.v, $state['k\udfff'], 'k\udfff' in $state];
