// SPDX-License-Identifier: Apache-2.0
// How the calling thread asks the system to share the processors. Requests, not rights: each needs
// no privilege, may be ignored, and changes nothing but times.
#ifndef NX_BASE_SCHED_H
#define NX_BASE_SCHED_H

#include <sys/types.h>

// For what answers: a short slice, with which Linux from 6.12 on lets a thread that wakes up go
// before one in the middle of a long one. Inherited by children.
void nx_sched_answer_soon(void);

// For what may take long: a thirtieth of the weight of other threads, and no going before them.
// `pid`: a process with one thread, of the same user. Only CAP_SYS_NICE can undo it.
void nx_sched_stand_back(pid_t pid);

#endif
