// SPDX-License-Identifier: Apache-2.0
// expect: success 7
Object.prototype.then = function (resolve) { delete Object.prototype.then; resolve(7); };
return {};
