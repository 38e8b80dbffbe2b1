// SPDX-License-Identifier: Apache-2.0
// expect: error TIMEOUT running time
// timeout: 100
const again = () => {
  try { for (;;) {} } finally { again(); }
};
for (;;) { try { again(); } finally { continue; } }
