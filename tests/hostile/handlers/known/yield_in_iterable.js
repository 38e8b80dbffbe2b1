// SPDX-License-Identifier: Apache-2.0
// A generator that is closed while it computes what a loop is to run over.
// expect: refused COMPILATION_ERROR
function* g() { for (const e of yield []); }
const it = g();
it.next();
return it.return('closed').value;
