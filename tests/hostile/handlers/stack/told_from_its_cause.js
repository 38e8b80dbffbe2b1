// SPDX-License-Identifier: Apache-2.0
// expect: error RESOURCE_LIMIT
InternalError.prototype.name = 'Fine';
Error.prototype.toString = () => 'all is well';
const f = () => f() + 1;
f();
