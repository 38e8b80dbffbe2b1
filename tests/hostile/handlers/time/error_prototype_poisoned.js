// SPDX-License-Identifier: Apache-2.0
// A deadline reported through a poisoned Error.prototype is still a deadline.
// expect: error TIMEOUT running time
// timeout: 100
Error.prototype.toString = () => 'EXECUTION_ERROR: all is well';
InternalError.prototype.name = 'Error';
Object.defineProperty(InternalError.prototype, 'message', { set() {}, get() { return 'fine'; } });
for (;;) {}
