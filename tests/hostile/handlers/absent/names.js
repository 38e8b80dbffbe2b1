// SPDX-License-Identifier: Apache-2.0
// What a handler must not find.
// expect: success []
return ['eval', 'WeakRef', 'FinalizationRegistry', 'Atomics', 'SharedArrayBuffer', 'setTimeout',
  'setInterval', 'setImmediate', 'queueMicrotask', 'performance', 'process', 'require', 'module',
  'std', 'os', 'bjson', 'fetch', 'XMLHttpRequest', 'WebAssembly', 'print', 'scriptArgs', 'load',
  'Deno', 'Bun', 'window', 'self', 'global', 'navigator', 'Worker', 'structuredClone', 'Buffer',
  '$state', '$args', '$scope', '$emit', '$view', '$ext', '$log', 'handler', 'native']
  .filter((name) => name in globalThis);
