// SPDX-License-Identifier: Apache-2.0
// expect: success [true, true]
return [this === undefined, (function () { return this; })() === undefined];
