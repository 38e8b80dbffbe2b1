// SPDX-License-Identifier: Apache-2.0
// expect: success "own"
Object.setPrototypeOf(Object.prototype.__proto__ ?? {}, null);
try {
  Object.setPrototypeOf(Object.prototype, new Proxy({}, { get() { return 'poison'; } }));
} catch { /* immutable prototype */ }
return 'own';
