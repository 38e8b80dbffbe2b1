// SPDX-License-Identifier: Apache-2.0
// expect: success "ok"
Object.defineProperty(Error, Symbol.hasInstance, { value: () => { throw new Error('poison'); } });
try { $log({}); } catch { return 'own call only'; }
return 'ok';
