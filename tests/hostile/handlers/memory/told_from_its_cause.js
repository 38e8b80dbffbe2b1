// SPDX-License-Identifier: Apache-2.0
// What the handler makes of error names and texts does not change what happened.
// expect: error MEMORY_LIMIT memory
InternalError.prototype.name = 'Fine';
Error.prototype.toString = () => 'all is well';
const a = [];
for (;;) a.push(new Uint8Array(1 << 20));
