// SPDX-License-Identifier: Apache-2.0
// expect: success {"a": "poison"}
Object.prototype.toJSON = function () { return { a: 'poison' }; };
return [1, 2];
