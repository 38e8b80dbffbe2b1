// SPDX-License-Identifier: Apache-2.0

/**
 * How long to wait before try `attempt` (0, 1, …): twice as long each time up to `maxMs`, and of that
 * between half and all, by chance, so that many clients of a server that came back do not come at once.
 */
export function backoffMs(attempt, { baseMs, maxMs }, random = Math.random) {
  const whole = Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30));
  return whole / 2 + random() * (whole / 2);
}
