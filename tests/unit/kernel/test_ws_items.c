// SPDX-License-Identifier: Apache-2.0
// A session's queue, against a plain array that does the same.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "kernel/ws_session.h"

enum { MOST = 100, STEPS = 100000 };

// Items are told apart by their texts' addresses.
static struct nx_ws_text *name(unsigned number) {
    static char names[STEPS];
    return (struct nx_ws_text *)&names[number];
}

static void does_as_an_array_does(void **state) {
    (void)state;
    struct nx_ws_items items = {0};
    struct nx_ws_text *model[MOST];
    unsigned count = 0;
    srandom(1);
    for (unsigned step = 0; step < STEPS; step++) {
        const bool drains = step / 500 % 2 == 1; // so that it is empty, and full, now and then
        const long choice = random() % 8;
        if (count > 0 && (count == MOST || (drains ? choice < 6 : choice < 2))) {
            assert_ptr_equal(nx_ws_items_take(&items).text, model[0]);
            memmove(model, model + 1, --count * sizeof model[0]);
        } else {
            const bool first = choice == 7;
            const unsigned at = first ? 0 : count;
            assert_true(
                nx_ws_items_add(&items, (struct nx_ws_item){name(step), NX_WS_PLAIN}, first));
            memmove(model + at + 1, model + at, (count - at) * sizeof model[0]);
            model[at] = name(step);
            count++;
        }
        assert_int_equal(items.count, count);
        for (unsigned i = 0; i < count; i++)
            assert_ptr_equal(nx_ws_items_at(&items, i)->text, model[i]);
    }
    nx_ws_items_free(&items);
    assert_null(items.ring);
}

static void keeps_little_when_empty(void **state) {
    (void)state;
    struct nx_ws_items items = {0};
    for (unsigned i = 0; i < MOST; i++)
        assert_true(nx_ws_items_add(&items, (struct nx_ws_item){name(i), NX_WS_PLAIN}, false));
    assert_true(items.cap >= MOST);
    for (unsigned i = 0; i < MOST; i++)
        (void)nx_ws_items_take(&items);
    assert_true(items.cap <= 8);
    nx_ws_items_free(&items);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(does_as_an_array_does),
        cmocka_unit_test(keeps_little_when_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
