// SPDX-License-Identifier: Apache-2.0
// Which system calls the server may still make.
//
// The filter of the first step ends the process for what it never does by itself. That of the
// second is a list of what is allowed; everything else "is not there" (ENOSYS). It does not kill:
// libraries try new calls and do without, and the server holds state that others rely on. To an
// attacker both are the same: the call does not happen. Of the two filters' answers the stricter
// one counts.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/privileges.h"
#include "kernel/lockdown.h"
#include "sandbox/filter.h"

// Conditions: argument `n` is `value`, or has none of `bits`. What none says is free.
// clang-format off
#define IS(n, value)     {n, SCMP_CMP_EQ, value, 0}
#define LACK(n, bits)    {n, SCMP_CMP_MASKED_EQ, bits, 0}
#define CALL(name)       {SCMP_SYS(name), 0, {{0}}}
#define WHEN(name, c)    {SCMP_SYS(name), 1, {c}}
#define BOTH(name, c, d) {SCMP_SYS(name), 2, {c, d}}
// clang-format on
#define COUNT(rules) (sizeof(rules) / sizeof((rules)[0]))

// ---- Never

static const struct nx_filter_rule kills[] = {
    // Programs and processes. Threads are made by clone, with CLONE_THREAD.
    CALL(execve), CALL(execveat), CALL(fork), CALL(vfork), WHEN(clone, LACK(0, CLONE_THREAD)),
    // The memory and descriptors of others.
    CALL(ptrace), CALL(process_vm_readv), CALL(process_vm_writev), CALL(pidfd_getfd), CALL(kcmp),
    CALL(process_madvise), CALL(userfaultfd), CALL(perf_event_open),
    // Other views of the system: namespaces, mounts, roots, files by handle.
    CALL(unshare), CALL(setns), CALL(mount), CALL(umount2), CALL(pivot_root), CALL(chroot),
    CALL(move_mount), CALL(open_tree), CALL(fsopen), CALL(fsconfig), CALL(fsmount), CALL(fspick),
    CALL(mount_setattr), CALL(open_by_handle_at), CALL(name_to_handle_at),
    // Other identities. Capabilities can be given up after this, nothing can be gained.
    CALL(setuid), CALL(setgid), CALL(setreuid), CALL(setregid), CALL(setresuid), CALL(setresgid),
    CALL(setfsuid), CALL(setfsgid), CALL(setgroups), CALL(personality),
    // The system itself: its code, keys, clocks, power, hardware.
    CALL(bpf), CALL(init_module), CALL(finit_module), CALL(delete_module), CALL(kexec_load),
    CALL(kexec_file_load), CALL(reboot), CALL(swapon), CALL(swapoff), CALL(acct), CALL(quotactl),
    CALL(keyctl), CALL(add_key), CALL(request_key), CALL(syslog), CALL(sethostname),
    CALL(setdomainname), CALL(settimeofday), CALL(clock_settime), CALL(adjtimex),
    CALL(clock_adjtime), CALL(iopl), CALL(ioperm), CALL(modify_ldt), CALL(vhangup)};

// A ring would do calls past every filter. libuv (1.45 and later) makes one with its loop, and does
// without where there are none: so this comes before the loop.
static const struct nx_filter_rule absent[] = {
    CALL(io_uring_setup), CALL(io_uring_enter), CALL(io_uring_register),
    // Its flags are in memory, where no filter sees them. The C library then takes clone.
    CALL(clone3)};

// ---- What serving takes

enum {
    // What pthread_create asks for, in glibc and musl: a thread of this process and nothing else.
    THREAD_FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                   CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
    // Of the flags to open: any that could write, make, or find without a right to read.
    OPEN_CHANGES = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_PATH,
    TERMINAL_ATTRIBUTES = 0x5401, // TCGETS: whether standard output is a terminal
};

static const struct nx_filter_rule serving[] = {
    // The event loop.
    CALL(epoll_wait), CALL(epoll_pwait), CALL(epoll_pwait2), CALL(epoll_ctl), CALL(poll),
    CALL(ppoll), CALL(restart_syscall),
    // Connections, worker channels, the log. Sockets come from accept and from pairs of our own;
    // addresses are bound already.
    CALL(accept4), CALL(listen), CALL(read), CALL(readv), CALL(write), CALL(writev), CALL(recvfrom),
    CALL(recvmsg), CALL(sendto), CALL(sendmsg), CALL(shutdown), CALL(close), CALL(getsockname),
    CALL(getpeername), WHEN(socketpair, IS(0, AF_UNIX)),
    // Of their options those of sockets and TCP; none of a firewall or a tunnel.
    WHEN(getsockopt, IS(1, SOL_SOCKET)), WHEN(setsockopt, IS(1, SOL_SOCKET)),
    WHEN(getsockopt, IS(1, IPPROTO_TCP)), WHEN(setsockopt, IS(1, IPPROTO_TCP)),
    // Of descriptors the flags. Not who is signalled about them (F_SETOWN): that reaches others.
    WHEN(fcntl, IS(1, F_GETFL)), WHEN(fcntl, IS(1, F_SETFL)), WHEN(fcntl, IS(1, F_GETFD)),
    WHEN(fcntl, IS(1, F_SETFD)),
    // Copies of a listener's descriptor, to be given up when there is no other (http_accept.c).
    WHEN(fcntl, IS(1, F_DUPFD_CLOEXEC)), WHEN(ioctl, IS(1, FIONBIO)),
    WHEN(ioctl, IS(1, TERMINAL_ATTRIBUTES)),
    // Files, to read: panels, the policy, /proc. Which ones is Landlock's to say.
    WHEN(openat, LACK(2, OPEN_CHANGES)), CALL(fstat), CALL(newfstatat), CALL(statx), CALL(lseek),
    CALL(pread64),
    // Memory, never executable: there is no code here but that of the program and its libraries.
    WHEN(mmap, LACK(2, PROT_EXEC)), WHEN(mprotect, LACK(2, PROT_EXEC)), CALL(munmap), CALL(mremap),
    CALL(brk), WHEN(madvise, IS(2, MADV_DONTNEED)),
    // Threads: libuv's for files, libcurl's for names.
    WHEN(clone, IS(0, THREAD_FLAGS)), CALL(futex), CALL(set_robust_list), CALL(rseq), CALL(exit),
    CALL(gettid), CALL(getpid), CALL(sched_yield), CALL(sched_getaffinity),
    // Signals that come. What is sent goes through a pidfd that the zygote gave, to a worker.
    CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(pidfd_send_signal),
    CALL(waitid), CALL(wait4),
    // Who it is: calls that cannot fail, so that nobody looks whether they did.
    CALL(getuid), CALL(geteuid), CALL(getgid), CALL(getegid), CALL(getppid),
    // Time, chance, figures of its own.
    CALL(clock_gettime), CALL(clock_nanosleep), CALL(gettimeofday), CALL(getrandom),
    CALL(getrusage), CALL(sysinfo), CALL(uname), BOTH(prlimit64, IS(0, 0), IS(2, 0)),
    // The end.
    CALL(exit_group)};

// With the http extension: sockets of the internet's two families, and what the resolver does.
static const struct nx_filter_rule http_client[] = {
    WHEN(socket, IS(0, AF_INET)),
    WHEN(socket, IS(0, AF_INET6)),
    CALL(connect),
    CALL(sendmmsg),
    CALL(recvmmsg),
    CALL(eventfd2),
    CALL(pipe2),
    BOTH(setsockopt, IS(1, IPPROTO_IP), IS(2, IP_RECVERR)),
    BOTH(setsockopt, IS(1, IPPROTO_IPV6), IS(2, IPV6_RECVERR)),
    BOTH(setsockopt, IS(1, IPPROTO_IPV6), IS(2, IPV6_V6ONLY))};

// With a cache folder: files to write, within it.
static const struct nx_filter_rule cache[] = {
    CALL(openat),    CALL(pwrite64),   CALL(preadv),    CALL(pwritev),   CALL(fsync),
    CALL(fdatasync), CALL(ftruncate),  CALL(fallocate), CALL(rename),    CALL(renameat),
    CALL(renameat2), CALL(unlink),     CALL(unlinkat),  CALL(mkdir),     CALL(mkdirat),
    CALL(rmdir),     CALL(getdents64), CALL(access),    CALL(faccessat), CALL(faccessat2),
    CALL(fchmod),    CALL(utimensat),  CALL(flock),     CALL(stat),      CALL(lstat),
    CALL(statfs),    CALL(fstatfs),    CALL(eventfd2)};

// ---- The filters

// Sanitizers' run-time libraries make calls of their own, tracing among them.
int nx_lockdown_never(struct nx_error *err) {
    scmp_filter_ctx filter;
    int status = nx_filter_begin(&filter, SCMP_ACT_ALLOW, err);
    if (status != 0) {
        return status;
    }
    if (!NX_SANITIZED) {
        status = nx_filter_add(filter, SCMP_ACT_KILL_PROCESS, kills, COUNT(kills), err);
    }
    if (status == 0) {
        status = nx_filter_add(filter, SCMP_ACT_ERRNO(ENOSYS), absent, COUNT(absent), err);
    }
    if (status != 0) {
        seccomp_release(filter);
        return status;
    }
    return nx_filter_load(filter, err);
}

int nx_lockdown_calls(const struct nx_lockdown_needs *needs, struct nx_error *err) {
    // abort() signals itself, and nobody else.
    const struct nx_filter_rule own[] = {WHEN(tgkill, IS(0, (scmp_datum_t)getpid()))};
    const struct {
        const struct nx_filter_rule *rules;
        size_t count;
        bool needed;
    } groups[] = {
        {serving, COUNT(serving), true},
        {own, COUNT(own), true},
        {http_client, COUNT(http_client), needs->http_client},
        {cache, COUNT(cache), needs->cache_dir != NULL},
    };
    scmp_filter_ctx filter;
    int status =
        nx_filter_begin(&filter, NX_SANITIZED ? SCMP_ACT_LOG : SCMP_ACT_ERRNO(ENOSYS), err);
    if (status != 0) {
        return status;
    }
    for (size_t i = 0; i < COUNT(groups) && status == 0; i++) {
        if (groups[i].needed) {
            status = nx_filter_add(filter, SCMP_ACT_ALLOW, groups[i].rules, groups[i].count, err);
        }
    }
    if (status != 0) {
        seccomp_release(filter);
        return status;
    }
    return nx_filter_load(filter, err);
}
