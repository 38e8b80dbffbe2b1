// SPDX-License-Identifier: Apache-2.0
// Found when the segment ends.
// expect: error EXECUTION_ERROR circular
// grants: state:read:* state:write:*
// state: {"o": {}}
$state.o.self = $state.o;
