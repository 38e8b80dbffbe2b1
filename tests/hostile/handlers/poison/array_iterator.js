// SPDX-License-Identifier: Apache-2.0
// expect: success [1, 2]
// grants: state:read:* events:emit:*
Array.prototype[Symbol.iterator] = function* () { yield 'poison'; };
Array.prototype.push = Array.prototype.map = () => { throw new Error('poison'); };
$log('a', { b: 1 });
$emit('e', [1]);
return [1, 2];
