// SPDX-License-Identifier: Apache-2.0
// expect: success ["PermissionDenied", "PERMISSION_DENIED", "state:write:a", true]
// grants: state:read:*
try { $state.a = 1; } catch (e) { return [e.name, e.code, e.capability, e instanceof Error]; }
