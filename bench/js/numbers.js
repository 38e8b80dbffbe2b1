// SPDX-License-Identifier: Apache-2.0
// Floating point, typed arrays, bit operations.
const n = 300, grid = new Float64Array(n * n);
for (let i = 0; i < n * n; i++) grid[i] = Math.sin(i) * 100;
for (let round = 0; round < 3; round++) {
  for (let y = 1; y < n - 1; y++) {
    for (let x = 1; x < n - 1; x++) {
      const i = y * n + x;
      grid[i] = (grid[i - 1] + grid[i + 1] + grid[i - n] + grid[i + n]) / 4;
    }
  }
}
let hash = 0;
for (let i = 0; i < n * n; i++) hash = ((hash << 5) - hash + Math.round(grid[i])) | 0;
return hash;
