// SPDX-License-Identifier: Apache-2.0
// expect: error PERMISSION_DENIED state:write:o
// grants: state:read:*
// state: {"o": [1]}
Function.prototype.call = Function.prototype.apply = function () { return 'poison'; };
Array.prototype.push = function (x) { this[this.length] = x; };
$state.o.push(2);
