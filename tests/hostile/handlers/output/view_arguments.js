// SPDX-License-Identifier: Apache-2.0
// Whatever is given, a command's arguments are an object.
// expect: success 3
// grants: view:update:*
$view.command('id', 'name', [1, 2]);
$view.command('id', 'name', 'text');
$view.setFilter('id', { toJSON() { return 1; } });
return 3;
