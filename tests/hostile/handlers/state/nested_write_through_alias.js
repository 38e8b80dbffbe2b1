// SPDX-License-Identifier: Apache-2.0
// expect: error PERMISSION_DENIED state:write:o
// grants: state:read:* state:write:a
// state: {"o": {"list": [{"x": 1}]}}
const [first] = $state.o.list;
Object.assign(first, { x: 2 });
