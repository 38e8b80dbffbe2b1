// SPDX-License-Identifier: Apache-2.0
// A body that closes the function it stands in would run code when it is loaded.
// expect: refused COMPILATION_ERROR closes its own function
}, (() => { globalThis.owned = 1; })(), async function () {
