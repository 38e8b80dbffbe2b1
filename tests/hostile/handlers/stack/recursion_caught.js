// SPDX-License-Identifier: Apache-2.0
// Caught in time, it does no harm.
// expect: success "caught"
const f = () => f() + 1;
try { f(); } catch (e) { return e instanceof Error ? 'caught' : 'odd'; }
