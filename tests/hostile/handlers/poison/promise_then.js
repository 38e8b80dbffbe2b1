// SPDX-License-Identifier: Apache-2.0
// Its own call sees what it poisoned; the next one does not (the runner looks).
// expect: success "poisoned"
Promise.prototype.then = function (resolve) { resolve('poisoned'); return this; };
Promise.prototype.constructor = null;
return new Promise((resolve) => resolve('own'));
