// SPDX-License-Identifier: Apache-2.0
// Each way to a constructor that compiles text; none may give a function.
// expect: success []
const samples = [
  () => {}, function () {}, async () => {}, async function () {}, function* () {},
  async function* () {}, class {}, Object, $emit, $log, $view.focus, console.log, Math.max,
  Object.getOwnPropertyDescriptor(RegExp.prototype, 'flags').get, (() => {}).bind(),
  new Proxy(function () {}, {}), [].map, Promise.resolve, Symbol.prototype[Symbol.toPrimitive],
];
const made = [];
const attempt = (route, fn) => {
  try {
    const result = fn();
    if (typeof result === 'function' || result === 42) made.push(route);
  } catch { /* what should happen */ }
};
samples.forEach((sample, i) => {
  const constructors = [sample.constructor, Object.getPrototypeOf(sample).constructor,
    sample.constructor?.constructor, ({}).constructor.constructor, [].constructor.constructor,
    Object.getPrototypeOf(Object.getPrototypeOf(sample)).constructor];
  constructors.forEach((make, j) => {
    if (typeof make !== 'function' || make === Object) return;
    attempt(`${i}.${j} call`, () => make('return 42'));
    attempt(`${i}.${j} call result`, () => make('return 42')());
    attempt(`${i}.${j} new`, () => new make('return 42'));
    attempt(`${i}.${j} Reflect.construct`, () => Reflect.construct(make, ['return 42']));
    attempt(`${i}.${j} Reflect.construct as Array`,
      () => Reflect.construct(make, ['return 42'], Array));
    attempt(`${i}.${j} Reflect.apply`, () => Reflect.apply(make, null, ['a', 'return 42']));
    attempt(`${i}.${j} derived`, () => new (class extends make {
      constructor() { super('return 42'); }
    })());
    attempt(`${i}.${j} bound`, () => make.bind(null, 'return 42')());
    attempt(`${i}.${j} proxied`, () => new (new Proxy(make, {}))('return 42'));
  });
});
return made;
