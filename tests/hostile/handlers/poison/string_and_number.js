// SPDX-License-Identifier: Apache-2.0
// expect: success "ok"
// grants: events:emit:* view:update:*
String.prototype.toString = Number.prototype.valueOf = () => { throw new Error('poison'); };
globalThis.String = () => 'poison';
Symbol.prototype.toString = null;
$emit('e', 'ok');
$view.focus('id');
return 'ok';
