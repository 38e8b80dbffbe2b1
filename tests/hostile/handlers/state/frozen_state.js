// SPDX-License-Identifier: Apache-2.0
// Freezing it is refused or harms only this call.
// expect: success|error
// grants: state:read:* state:write:*
Object.freeze($state);
$state.a = 2;
