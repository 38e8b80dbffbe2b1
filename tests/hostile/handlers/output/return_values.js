// SPDX-License-Identifier: Apache-2.0
// undefined, functions and symbols have no JSON: there is no return value.
// expect: success absent
return () => 1;
