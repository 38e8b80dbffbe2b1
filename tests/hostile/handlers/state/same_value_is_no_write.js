// SPDX-License-Identifier: Apache-2.0
// Reading a list and leaving it as it was is no mutation.
// expect: success 0
// grants: state:read:*
// state: {"o": {"x": [1, 2.50, "a\u0062"]}}
return $state.o.x.length - 3;
