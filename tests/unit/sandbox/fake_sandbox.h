// SPDX-License-Identifier: Apache-2.0
// A stand-in for nexus-sandbox that does what a test tells it: a zygote and workers that an
// attacker owns. It gets nothing but its channel, as the real one, so the orders come through it:
//
// - what the zygote does is said by the memory limit of the CONFIG frame (FAKE_MEMORY_BYTES);
// - what a worker does is said by the bytecode of the execution, or the source of the compile
//   request: a program of the orders below, with operands as in wire.h.
#ifndef NX_TEST_FAKE_SANDBOX_H
#define NX_TEST_FAKE_SANDBOX_H

enum fake_order {
    FAKE_FRAME = 1, // u8 type, u32 added to the id, bytes payload: sends a frame
    FAKE_FRAME_FD,  // the same with a descriptor attached to it
    FAKE_RAW,       // bytes: sends them as they are
    FAKE_FLOOD,     // bytes: sends them over and over
    FAKE_PIECES,    // bytes payload: sends a SEGMENT frame byte by byte
    FAKE_ECHO,      // sends a DONE segment that returns the frame being answered, in hexadecimal
    FAKE_SLOW,      // says SLOW, and from then on drops what wire.h says until GO
    FAKE_COUNT,     // sends a DONE segment that returns how many executions it holds suspended
    FAKE_WAIT,      // goes on with the execution's next frame
    FAKE_IGNORE,    // bytes: nothing
    FAKE_SLEEP,     // u32 milliseconds
    FAKE_HANG,      // never does anything again
    FAKE_SPIN,      // the same, and uses all the processor time it gets
    FAKE_EXIT,      // u8 status
    FAKE_SIGNAL,    // u8 signal: to itself
    FAKE_ORPHAN,    // dies, but leaves a child behind that holds the channel open for a second
};

enum fake_zygote {
    FAKE_GOOD,
    FAKE_OTHER_BUILD,    // READY names another build
    FAKE_FAILS,          // FAILED instead of READY
    FAKE_EXITS,          // exits before READY
    FAKE_NOT_READY,      // never says READY
    FAKE_GARBAGE,        // bytes that are no frame
    FAKE_NO_PIDFD,       // SPAWNED without its descriptor
    FAKE_WORKERS_DIE,    // every worker exits at once
    FAKE_ONE_SPAWN_LEFT, // FAILED at the second SPAWN
    FAKE_ONE_WORKER,     // at the second SPAWN and those after it no worker, this time
    FAKE_NO_WORKER,      // what it does then
};

#define FAKE_FAILURE              "no image today"

// The limit that names a zygote's behaviour: plausible whatever it says.
#define FAKE_MEMORY_BYTES(zygote) ((64u << 20) + (unsigned)(zygote) * (64u << 10))
enum { FAKE_STACK_BYTES = 1 << 20 };

// What a worker of the fake says of itself; where there is none, the zygote tells of less.
enum { FAKE_PROTECTIONS = 7, FAKE_ZYGOTE_PROTECTIONS = 4 };

// By so much the nice value of a spare worker, and of one that LOWER was said of, is above others'.
enum { FAKE_SPARE_NICE = 1, FAKE_LOWERED_NICE = 2 };

#endif
