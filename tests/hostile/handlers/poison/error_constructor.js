// SPDX-License-Identifier: Apache-2.0
// expect: error PERMISSION_DENIED state:write:a
Error.prototype.name = 'Fine';
Error.prototype.code = 'SUCCESS';
Error.prototype.capability = 'state:write:other';
globalThis.Error = class { };
$state.a = 2;
