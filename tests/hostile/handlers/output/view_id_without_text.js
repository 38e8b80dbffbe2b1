// SPDX-License-Identifier: Apache-2.0
// expect: error EXECUTION_ERROR toPrimitive
// grants: view:update:*
$view.focus({ toString: null, valueOf: null });
