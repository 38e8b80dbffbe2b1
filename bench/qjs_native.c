// SPDX-License-Identifier: Apache-2.0
// Native QuickJS from the very sources the guest is made of: the yardstick for the guest's speed.
// Runs the handler body in FILE once to warm up and N times timed; prints the median in
// milliseconds.
#include "quickjs.c"

#include "cutils.c"
#include "dtoa.c"
#include "libregexp.c"
#include "libunicode.c"
