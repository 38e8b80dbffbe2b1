// SPDX-License-Identifier: Apache-2.0
// expect: success 1
// grants: state:read:* state:write:* events:emit:*
// after: {"a": 3}
Object.defineProperty = Object.freeze = Object.create = () => { throw new Error('poison'); };
Reflect.apply = Reflect.get = Reflect.ownKeys = () => { throw new Error('poison'); };
$state.a = 3;
$emit('e', $state.a);
return 1;
