// SPDX-License-Identifier: Apache-2.0
// The grammar. A production is text with %X for another nonterminal; the first
// of each is used when the script is long or deep enough. Left out, because the
// engines may differ in it by right, is what README.md lists: limits, and
// functions of Math that C libraries round in their own way.
#include "engines.h"

enum { MAX_DEPTH = 7, MAX_SCRIPT_BYTES = 6000, MAX_STATEMENTS = 12 };

struct rule {
    char name;
    const char *const *productions;
};

#define RULE(letter, ...)                                                                          \
    {                                                                                              \
        letter, (const char *const[]) {                                                            \
            __VA_ARGS__, NULL                                                                      \
        }                                                                                          \
    }

static const struct rule rules[] = {
    RULE('V', "v0", "v1", "v2", "v3", "v4", "v5"),
    RULE('I', "1", "0", "2", "3", "5", "8", "-1", "16", "33", "-7"),
    RULE('K', "'a'", "'b'", "'length'", "0", "1", "'-1'", "'constructor'", "'__proto__'", "%S",
         "Symbol.iterator"),
    RULE('P', "a", "b", "x", "y", "z"),
    RULE('N', "1", "0", "-0", "NaN", "Infinity", "2147483647", "-2147483648", "4294967295",
         "4294967296", "0.1", "1.5", "-1.5", "1e21", "1e-7", "123456789012345680000",
         "9007199254740991", "9007199254740993", "5e-324", "1.7976931348623157e308", "0xff",
         "0b101", "0o17", "1_000", "%I", "(%N + %N)", "(%N - %N)", "(%N * %N)", "(%N / %N)",
         "(%N %% %N)", "(%I ** %I)", "(%N | %N)", "(%N >> %N)", "(%N >>> %N)", "(%N << %N)",
         "(~%N)", "(-%N)", "(+%E)", "Math.trunc(%N)", "Math.round(%N)", "Math.fround(%N)",
         "Math.clz32(%N)", "Math.imul(%N, %N)", "Math.sqrt(%N)", "Math.sign(%N)",
         "Math.max(%N, %N)", "Math.min(%N, %N, %N)", "Math.hypot(3, 4)", "Math.abs(%N)",
         "Math.floor(%N)", "Math.ceil(%N)", "parseInt(%S, %I)", "parseFloat(%S)", "Number(%S)",
         "%S.length", "%S.charCodeAt(%I)", "%S.codePointAt(%I)", "%S.indexOf(%S)", "%S.search(%R)",
         "%A.length", "%A.indexOf(%E)", "%A.push(%E)", "%A.reduce((a, b) => a + b, %N)", "%T[%I]",
         "%T.length", "%D.getTime()", "%D.getUTCDay()", "%M.size", "Number(BigInt.asIntN(%I, %G))",
         "%S.localeCompare(%S)", "(v0++)", "(--v0)", "new DataView(B(%T)).getInt8(%I)"),
    RULE('G', "1n", "0n", "-1n", "12345678901234567890n", "(2n ** 64n)", "0xffffffffffffffffn",
         "(%G + %G)", "(%G - %G)", "(%G * %G)", "(%G / %G)", "(%G %% %G)", "(%G & %G)", "(%G | %G)",
         "(%G ^ %G)", "(%G >> 3n)", "(%G << 5n)", "(-%G)", "(~%G)", "BigInt.asUintN(%I, %G)",
         "BigInt.asIntN(64, %G)", "BigInt(%N)", "BigInt(%S)"),
    RULE('S', "'a'", "''", "'abc'", "'A\\u00e9\\u4e2d'", "'\\ud83d\\ude00x'", "'\\ud800'", "'1e3'",
         "' 12px'", "'0x1f'", "'a,b,,c'", "'\\u0130\\u00df'", "'line\\nline'", "'$&$1$$'", "'\\0'",
         "(%S + %S)", "(%S + %E)", "`${%E}-${%E}`", "String(%E)", "%S.slice(%I, %I)",
         "%S.substring(%I, %I)", "%S.repeat(%J)", "%S.padStart(%J, %S)", "%S.padEnd(%J, %S)",
         "%S.toUpperCase()", "%S.toLowerCase()", "%S.trim()", "%S.replace(%R, %S)",
         "%S.replaceAll(%S, %S)", "%S.replace(%R, (...m) => m.length)", "%S.split(%S).join(%S)",
         "%S.normalize('NFD')", "%S.at(%I)", "%S[%I]", "%S.concat(%E)", "%S.charAt(%I)",
         "String.fromCharCode(%N)", "String.fromCodePoint(%I)", "String.raw`%P\\n${%E}`",
         "JSON.stringify(%E)", "JSON.stringify(%E, null, %I)", "JSON.stringify(%O, ['a', 'b'])",
         "%N.toString(%Q)", "(%N).toFixed(%J)", "(%N).toPrecision(%J)", "(%N).toExponential(%J)",
         "%G.toString(%Q)", "typeof %E", "Object.prototype.toString.call(%E)", "%D.toISOString()",
         "encodeURIComponent(%S)", "decodeURIComponent(%S)", "encodeURI(%S)", "escape(%S)",
         "unescape(%S)", "%S.isWellFormed()", "%S.toWellFormed()", "%A.join(%S)",
         "%F.toString.name", "Symbol(%S).toString()", "Symbol(%S).description"),
    RULE('J', "2", "0", "1", "3", "7", "12", "20"),
    RULE('Q', "10", "2", "16", "36", "7"),
    RULE('B', "true", "false", "(%E === %E)", "(%E == %E)", "(%N < %N)", "(%S < %S)", "(%E <= %E)",
         "(!%E)", "(%K in %O)", "(%E instanceof Object)", "Object.is(%E, %E)", "Array.isArray(%E)",
         "%R.test(%S)", "%S.includes(%S)", "%S.startsWith(%S)", "%A.includes(%E)", "%M.has(%E)",
         "Number.isSafeInteger(%N)", "Number.isInteger(%E)", "isNaN(%E)", "Reflect.has(%O, %K)",
         "Object.isFrozen(%O)", "Object.hasOwn(%O, %K)", "delete v3[%K]", "%A.every(%F)",
         "%A.some(%F)", "(%G < %N)", "(%G == %N)"),
    RULE('R', "/a/g", "/(a)|b/gi", "/(?<n>\\w)(?=b)/y", "/^.*?$/ms", "/[^\\d\\s]+/u", "/(?<!a)b/",
         "/\\u{1f600}/u", "/(a*)*b?/", "/\\p{L}+/gu", "/([a-c])\\1?/g", "/(?:x|(y)){1,3}/",
         "/[\\w-]/v", "/\\bL/im", "/./su", "new RegExp(%S, 'g')", "/(?i:a)b/", "/(?<=(\\d))\\w/"),
    RULE('A', "[1, 2, 3]", "[]", "[%E]", "[%E, %E]", "[%E, , %E]", "[...%A, %E]", "[...%S]",
         "%A.map(%F)", "%A.filter(%F)", "%A.slice(%I, %I)", "%A.concat(%A, %E)", "%A.flat(%I)",
         "%A.flatMap(%F)", "%A.reverse()", "%A.sort()", "%A.sort((a, b) => a - b)",
         "%A.toSorted((a, b) => b < a ? 1 : -1)", "%A.splice(%I, %I, %E)", "%A.fill(%E, %I)",
         "%A.copyWithin(%I, %I)", "%A.with(%I, %E)", "%A.toSpliced(%I, %I)", "%A.toReversed()",
         "Array.from({length: %J}, %F)", "Array.from(%E)", "Array.of(%E, %E)", "new Array(%J)",
         "Object.keys(%O)", "Object.entries(%O)", "Object.values(%O)", "Reflect.ownKeys(%O)",
         "%S.split(%R)", "%S.split(%S, %I)", "(%S.match(%R) ?? [])", "[...%S.matchAll(/a|b/g)]",
         "(%R.exec(%S) || [])", "[...%M]", "[...%M.keys()]", "[...%T]",
         "[...(function* () { %X yield %E; yield* %A; return %E; })()]",
         "(([a, b = %E, ...c]) => [c, b, a])(%A)", "[...%A.entries()]",
         "Object.getOwnPropertyNames(%E)", "JSON.parse('[1,{\"a\":[null,-0.5e1,\"\\\\u00e9\"]}]')",
         "[%N, %S, %B, %O].sort()", "Array.prototype.concat.call(%E, %E)", "%A.lastIndexOf(%E)",
         "%A.findLast(%F)"),
    RULE('O', "{a: 1}", "{}", "{%P: %E, %P: %E}", "{[%K]: %E}", "{...%E}", "{...%O, %P: %E}",
         "{get %P() { return %E; }, set %P(v) { v0 = v; }}", "{%P(x) { return x; }}",
         "{async %P() {}, *%P() {}}", "Object.assign({}, %O, %E)",
         "Object.fromEntries(%A.entries())", "Object.create(%O, {x: {value: %E, enumerable: %B}})",
         "Object.freeze(%O)", "Object.defineProperty(%O, %K, {value: %E})",
         "JSON.parse(JSON.stringify(%O))", "Object.getOwnPropertyDescriptor(%O, 'a')",
         "Object.groupBy(%A, %F)", "%A", "%M", "%D", "%R",
         "new Proxy(%O, {get: (t, k) => k === 'a' ? %E : t[k], has: () => %B, "
         "ownKeys: (t) => "
         "Reflect.ownKeys(t)})",
         "new (class %U { #p = %E; static s = %E; %P = this.#p; get q() { "
         "return this.#p; } })()",
         "new (class extends Array { constructor(...a) { super(...a); this.%P "
         "= %E; } })(%I, %I)",
         "(({a = %E, ...rest}) => ({a, rest}))(%O)", "new Error(%S)", "new Error(%S, {cause: %E})",
         "Object(%E)", "%T", "%F", "{__proto__: %O}", "{'__proto__': %E, a: %E}",
         "new Map(%A.entries())", "JSON.parse('{\"a\":1,\"__proto__\":2}')"),
    RULE('U', "C", "D"),
    RULE('M', "new Map([[1, 2]])", "new Set(%A)", "new Map(%A.map((x, i) => [x, i]))",
         "new Set(%S)", "new Map().set(%E, %E).set(NaN, %E)", "new Set([0, -0, NaN, NaN])",
         "Map.groupBy(%A, %F)", "new Set(%A).union(new Set(%A))",
         "new Set(%A).intersection(new Set(%A))"),
    RULE('T', "new Uint8Array([1, 2, 300])", "new Int8Array(%A)", "new Uint8ClampedArray([%N, %N])",
         "new Int16Array([%N])", "new Uint32Array([%N, %N])", "new Float32Array([%N, %N])",
         "new Float64Array([%N, %N, 1])", "new BigInt64Array([%G])", "new BigUint64Array([%G, 1n])",
         "%T.map(%F)", "%T.slice(%I)", "%T.subarray(%I, %I)", "%T.sort()", "%T.fill(%N)",
         "new Uint8Array(B(new Float64Array([%N])))", "new Uint8Array(B(%T))", "new Uint8Array(%J)",
         "Float32Array.from(%A)", "%T.toSorted()", "%T.with(%I, %N)",
         "new Uint8Array(B(new Float32Array([%N])))"),
    RULE('D', "new Date(0)", "new Date(%N)", "new Date(Date.UTC(%I, %I, %I))",
         "new Date('2024-02-29T12:34:56.789Z')", "new Date(%S)", "new Date(2020, %I, %I, %I)",
         "new Date(Date.parse('2021-13-01'))", "new Date('Tue Mar 01 2022 10:00:00 GMT+0200')",
         "(d => (d.setUTCMonth(%I), d))(%D)", "(d => (d.setHours(%I, %I), d))(%D)",
         "new Date(8.64e15)"),
    RULE('F', "(x => x)", "((x, y) => %E)", "(function (x) { %X return x; })",
         "((...r) => r.length)", "((x = %E) => x)", "(({a} = {}) => a)", "String", "Number",
         "(x => %N)", "(x => typeof x)", "Math.abs", "(() => %B)", "((x, i) => i %% 2)",
         "(function* () { yield %E; })", "(async x => %E)", "Array.prototype.slice.bind(%A, 1)"),
    RULE('E', "1", "%V", "%N", "%S", "%B", "%A", "%O", "%G", "%T", "%M", "%D", "%F", "%R", "null",
         "undefined", "%N", "%S", "%A", "%O", "(%B ? %E : %E)", "(%E ?? %E)", "(%E && %E)",
         "(%E || %E)", "(%V = %E)", "(%V ?\?= %E)", "(%E + %E)", "(%E - %E)", "(%E, %E)", "%V?.%P",
         "%V?.[%K]", "%O[%K]", "%O.%P", "%F(%E)", "%F.call(%E, %E)", "void %E", "Symbol.for(%S)",
         "(() => { %X return %E; })()", "((a, b) => [b, a])(...%A)", "[...%E]", "structureOf(%E)",
         "(function () { return arguments.length + %E; })(%E, %E)", "%A[%I]", "%A.at(%I)",
         "%A.pop()", "%A.shift()", "%A.find(%F)", "%M.get?.(%E)", "Reflect.get(%O, %K)",
         "Reflect.apply(%F, %E, %A)", "Reflect.construct(%F, %A)",
         "Object.getPrototypeOf(%E) === %E", "%E.valueOf()", "%D.toJSON()",
         "(%E)[Symbol.toPrimitive]", "new.target"),
    RULE('X', ";", "%V = %E;", "if (%B) { %X } else { %X }", "for (let i = 0; i < %L; i++) { %X }",
         "for (const k of %A) { %X if (k === %E) break; }", "for (const k in %O) { R.push(k); %X }",
         "while (v5-- > 0 && v5 < 6) { %X }", "do { %X } while (%B && 0);",
         "switch (%E) { case %E: %X case %E: %X break; default: %X }",
         "try { %X throw %E; } catch (e) { R.push(S(e)); } finally { %X }",
         "outer: for (const i of [1, 2]) { for (const j of %A) { if (j === %E) "
         "continue outer; %X "
         "} }",
         "var [v1 = %E, ...w] = %A; R.push(S(w));", "({%P: v2 = %E, [%K]: v3} = %O);",
         "{ let x = %E; const f = () => x; x = %E; R.push(S(f())); }",
         "R.push(S((() => { try { return %E; } finally { %X } })()));",
         "class C%# extends %W { constructor(a) { super(a); %X } m() { return "
         "super.toString?.length; } "
         "static { %X } } R.push(S(new C%#(%E).m()));",
         "T(() => { %V.%P = %E; });", "T(() => { %V[%K] = %E; });", "T(() => { %V.length = %I; });",
         "%V = %F(%E);", "v0 += %E;", "v4 &&= %E;", "[v0, v1] = [v1, v0];", "T(() => %E);",
         "const f%# = [], g%# = %J; for (let i = 0; i < g%# && i < 3; i++) "
         "f%#.push(() => i * 2); "
         "R.push(S(f%#.map(f => f())));",
         "{ const it = (function* () { try { const got = yield %E; "
         "R.push(S(got)); } finally { "
         "R.push('done'); } })(); T(() => it.next().value); T(() => "
         "it.next(%E)); T(() => "
         "it.return(%E)); }"),
    RULE('L', "2", "3", "4"),
    RULE('W', "Array", "Object", "Map", "Error", "Function.prototype.constructor", "(class { })"),
    // Statements of the top level, where await is.
    RULE('Y', "T(() => %E);", "T(() => %E);", "T(() => %S);", "T(() => %N);", "T(() => %A);",
         "T(() => %O);", "%X", "await U(async () => %E);",
         "await U(async () => { %X return await %E; });",
         "await U(() => Promise.all([%E, Promise.resolve(%E)]));",
         "await U(() => Promise.allSettled([%E, Promise.reject(%E)]));",
         "await U(() => Promise.race([%E, %E])); ",
         "await U(async () => { for await (const k of %A) { R.push(S(k)); %X } "
         "});",
         "await U(() => new Promise((y, n) => { %X %B ? y(%E) : n(%E); "
         "}).finally(() => { %X }));",
         "await U(async () => { const r = []; for await (const k of (async "
         "function* () { yield "
         "%E; yield "
         "%E; })()) r.push(k); return r; });",
         "await U(() => ({then(y, n) { y(%E); n(%E); }}));"),
};

struct writer {
    struct nx_buf *out;
    struct fuzz_input *in;
    unsigned classes; // for names that are used once
};

static const struct rule *find(char name) {
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rules[i].name == name)
            return &rules[i];
    fuzz_fail("a nonterminal without a rule", __FILE__, name);
}

static void expand(struct writer *w, char name, int depth) {
    const struct rule *rule = find(name);
    size_t count = 0;
    while (rule->productions[count])
        count++;
    FUZZ_CHECK(count > 0);
    size_t choice = fuzz_u8(w->in);
    if (depth > MAX_DEPTH || w->out->len > MAX_SCRIPT_BYTES || choice >= count)
        choice = choice >= count && depth <= MAX_DEPTH / 2 ? choice % count : 0;
    unsigned number = name == 'X' ? ++w->classes : w->classes;
    for (const char *p = rule->productions[choice]; *p; p++) {
        if (*p != '%') {
            nx_buf_append_char(w->out, *p);
        } else if (*++p == '%') {
            nx_buf_append_char(w->out, '%');
        } else if (*p == '#') {
            nx_buf_printf(w->out, "%u", number);
        } else {
            expand(w, *p, depth + 1);
        }
    }
}

void engines_write_script(struct fuzz_input *in, struct nx_buf *out) {
    // What every script begins with: variables, and a text for any value, by
    // which results are compared. Nothing that a script does to built-in objects
    // is undone: both engines must agree on that as well.
    static const char head[] =
        "const R = [], {is} = Object, {isArray} = Array, {ownKeys} = Reflect;\n"
        "const S = (v, d = 0) => {\n"
        "  if (typeof v === 'number') return is(v, -0) ? '-0' : `${v}`;\n"
        "  if (typeof v === 'string') return JSON.stringify(v);\n"
        "  if (typeof v === 'bigint') return `${v}n`;\n"
        "  if (typeof v === 'symbol') return v.toString();\n"
        "  if (typeof v === 'function') return `f ${typeof v.name === 'string' ? "
        "v.name : ''} "
        "${typeof "
        "v.length}`;\n"
        "  if (v === null || typeof v !== 'object') return `${v}`;\n"
        "  if (d > 3) return '...';\n"
        "  if (v instanceof Error) return `${typeof v.name} ${v.message}`;\n"
        "  if (v instanceof Date) return `D${v.getTime()}`;\n"
        "  if (v instanceof RegExp) return "
        "`${v.source}/${v.flags}/${S(v.lastIndex, d + 1)}`;\n"
        "  if (v instanceof Map || v instanceof Set) return "
        "`M${S([...v].slice(0, 20), d + 1)}`;\n"
        "  const keys = ownKeys(v).slice(0, 30);\n"
        "  return `${isArray(v) ? 'A' : 'O'}{${keys.map((k) => "
        "`${S(k)}:${S(v[k], d + 1)}`)}}`;\n"
        "};\n"
        // A typed array's bytes, but for those of NaN: any bits will do for it.
        "const B = (t) => (t instanceof Float32Array || t instanceof Float64Array "
        "? t.map((x) => x === x ? x : 0) : t).buffer;\n"
        "const structureOf = (v) => S(v);\n"
        "const T = (f) => { if (R.length > 60) return; try { R.push(S(f())); } "
        "catch (e) { "
        "R.push('!', "
        "S(e)); } };\n"
        "const U = async (f) => { try { R.push(S(await f())); } catch (e) { "
        "R.push('!', S(e)); } "
        "};\n"
        "let v0 = 1, v1 = 'text', v2 = [3, 1, 2], v3 = {a: 1, b: [2]}, v4 = "
        "null, v5 = 5;\n";
    struct writer w = {.out = out, .in = in};
    nx_buf_append_str(out, head);
    for (int i = 0; i < MAX_STATEMENTS && in->left; i++) {
        nx_buf_append_str(out, "try { ");
        expand(&w, 'Y', 0);
        nx_buf_append_str(out, " } catch (e) { R.push('!!', S(e)); }\n");
    }
    nx_buf_append_str(out, "T(() => [v0, v1, v2, v3, v4, v5]);\nreturn R;\n");
    FUZZ_CHECK(out->failed == 0);
}
