// SPDX-License-Identifier: Apache-2.0
// Runs once, when the pristine image is built: makes what handlers see out of the glue's native
// functions. It keeps its own references to every built-in it uses, so a handler that poisons
// prototypes harms only its own call.
(function (native) {
  'use strict';
  const { freeze, create, defineProperty } = Object;
  const { stringify } = JSON;
  const { apply, get: getOf, getOwnPropertyDescriptor } = Reflect;
  const ProxyCtor = Proxy, ErrorCtor = Error, StringFn = String, isArray = Array.isArray;
  const WeakMapCtor = WeakMap;
  const weakGet = WeakMap.prototype.get, weakSet = WeakMap.prototype.set;
  const { emit, view, ext, log, denied } = native;

  // A value of a key that may be read but not written: reads pass, the first write throws.
  const readOnly = (value, key) => {
    const seen = new WeakMapCtor();
    const refuse = () => denied(key);
    const wrap = (v) => {
      if (typeof v !== 'object' || v === null) return v;
      let proxy = apply(weakGet, seen, [v]);
      if (proxy === undefined) {
        proxy = new ProxyCtor(v, handler);
        apply(weakSet, seen, [v, proxy]);
      }
      return proxy;
    };
    const handler = {
      __proto__: null,
      get: (target, name, receiver) => {
        // A getter that the handler put on a prototype must not get hold of the target either.
        const v = getOf(target, name, receiver);
        // Objects of the value itself are wrapped; what comes from a prototype is not the state's.
        return typeof v === 'object' && v !== null ? wrap(v) : v;
      },
      getOwnPropertyDescriptor: (target, name) => {
        const d = getOwnPropertyDescriptor(target, name);
        if (d !== undefined && 'value' in d) d.value = wrap(d.value);
        return d;
      },
      set: refuse, defineProperty: refuse, deleteProperty: refuse,
      setPrototypeOf: refuse, preventExtensions: refuse,
    };
    return wrap(value);
  };

  // $emit(name, payload)
  const $emit = (name, payload) => emit(StringFn(name), payload);

  // $view: commands for the components that clients show.
  const object = (v) => (typeof v === 'object' && v !== null && !isArray(v) ? v : {});
  const $view = freeze({
    __proto__: null,
    setFilter: (id, filter) => view('setFilter', StringFn(id), { filter }),
    scrollTo: (id, target) => view('scrollTo', StringFn(id), { target }),
    focus: (id) => view('focus', StringFn(id), {}),
    command: (id, name, args) =>
      view('custom', StringFn(id), { command: StringFn(name), args: object(args) }),
  });

  // $ext.name.method(...args): a promise. `then` is no method, so that `await $ext.name` does not
  // take the namespace for a promise.
  const namespaces = create(null);
  const namespace = (name) => {
    if (namespaces[name] === undefined) {
      namespaces[name] = new ProxyCtor(freeze(create(null)), {
        __proto__: null,
        get: (_, method) =>
          typeof method !== 'string' || method === 'then'
            ? undefined
            : (...args) => ext(name, method, args),
      });
    }
    return namespaces[name];
  };
  const $ext = new ProxyCtor(freeze(create(null)), {
    __proto__: null,
    get: (_, name) => (typeof name !== 'string' || name === 'then' ? undefined : namespace(name)),
  });

  // $log(...), $log.info(...), console.log(...): strings as they are, the rest as JSON.
  const show = (v) => {
    if (typeof v === 'string') return v;
    try {
      if (v instanceof ErrorCtor) return StringFn(v);
      const json = stringify(v);
      return json === undefined ? StringFn(v) : json;
    } catch {
      return '[unprintable]';
    }
  };
  const logger = (level) => (...args) => {
    let text = '';
    for (let i = 0; i < args.length; i++) text += (i === 0 ? '' : ' ') + show(args[i]);
    log(level, text);
  };
  const debug = logger(0), info = logger(1), warn = logger(2), error = logger(3);
  const $log = (...args) => apply(info, undefined, args);
  for (const [name, fn] of [['debug', debug], ['info', info], ['warn', warn], ['error', error]]) {
    defineProperty($log, name, { value: fn });
  }
  freeze($log);
  const console = freeze({ __proto__: null, log: info, info, debug, trace: debug, warn, error });
  defineProperty(globalThis, 'console', { value: console });
  for (const fn of [$emit, debug, info, warn, error]) freeze(fn);

  return [$emit, $view, $ext, $log, readOnly];
});
