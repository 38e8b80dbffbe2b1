// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR plain value
// grants: state:read:* state:write:*
Object.defineProperty($state, 'a', { get() { return 1; } });
