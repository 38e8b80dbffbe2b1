// SPDX-License-Identifier: Apache-2.0
// What this process may use of the machine.
#ifndef NX_KERNEL_MACHINE_H
#define NX_KERNEL_MACHINE_H

#include <stdint.h>

// CPUs this process may run on, at least 1.
uint32_t nx_machine_cpus(void);

// The tightest memory limit of this process's cgroup and those above it, in MiB (at least 1 if
// there is one); 0 when there is none or it cannot be read.
uint64_t nx_machine_memory_limit_mb(void);

// The same in bytes, of a process whose /proc/PID/cgroup is the file `groups`, on a machine whose
// cgroups are mounted at `mounts`: memory.max of version 2, memory/…/memory.limit_in_bytes of
// version 1 (cgroups(7)).
uint64_t nx_machine_memory_limit_of(const char *groups, const char *mounts);

#endif
