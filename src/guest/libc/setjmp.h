// SPDX-License-Identifier: Apache-2.0
// wasi-libc has no setjmp; QuickJS includes the header without using it. Without this file the
// search would fall through to the build machine's own header.
#ifndef NX_GUEST_LIBC_SETJMP_H
#define NX_GUEST_LIBC_SETJMP_H
#endif
