#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/mailbox.h"

#define WRITERS 3u
#define MAILS 3000u
#define PATIENCE UINT64_C(5000000000)  /* ns, for what must come */
#define SHORT_WHILE UINT64_C(10000000) /* ns, for what must not */

struct fixture {
    struct loop *loop;
    struct mailbox box;
};

static int open_box(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_int_equal(loop_new(&f->loop), 0);
    assert_int_equal(mailbox_init(&f->box, f->loop, true), 0);
    *state = f;
    return 0;
}

static int close_box(void **state)
{
    struct fixture *f = *state;
    mailbox_clear(&f->box);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void put(struct mailbox *box, peer_id peer)
{
    mailbox_put(box, &(struct mail){.kind = MAIL_FLUSH, .peer = peer});
}

static bool put_handshake(struct mailbox *box, uint16_t port)
{
    struct endpoint from = {.family = ENDPOINT_IPV4, .port = port};
    uint8_t bytes[MESSAGE_HANDSHAKE_MAX];
    memset(bytes, (uint8_t)port, sizeof(bytes));
    return mailbox_put_handshake(box, HANDSHAKE_UNGATED, bytes, sizeof(bytes), &from, port);
}

/* Whether the loop's next turn ends before the deadline. */
static bool is_woken_within(struct fixture *f, uint64_t patience)
{
    uint64_t deadline = loop_monotonic() + patience;
    assert_int_equal(loop_once(f->loop, deadline), 0);
    return loop_monotonic() < deadline;
}

static void take_all(struct fixture *f, uint32_t expected)
{
    uint32_t count;
    struct mail *mail = mailbox_take(&f->box, &count);
    assert_int_equal(count, expected);
    free(mail);
}

static void mail_is_taken_all_at_once_in_order(void **state)
{
    struct fixture *f = *state;
    uint32_t count;
    for (peer_id peer = 1; peer <= 100; peer++)
        put(&f->box, peer);
    struct mail *mail = mailbox_take(&f->box, &count);
    assert_int_equal(count, 100);
    for (peer_id peer = 1; peer <= 100; peer++)
        assert_int_equal(mail[peer - 1].peer, peer);
    free(mail);
    assert_null(mailbox_take(&f->box, &count));
    assert_int_equal(count, 0);
}

static void handshakes_are_taken_one_by_one_in_order(void **state)
{
    struct fixture *f = *state;
    struct mail_handshake handshake;
    for (uint16_t round = 0; round < 3; round++) { /* the ring goes round */
        for (uint16_t i = 0; i < 200; i++)
            assert_true(put_handshake(&f->box, i));
        for (uint16_t i = 0; i < 200; i++) {
            assert_int_equal(mailbox_waiting(&f->box, HANDSHAKE_UNGATED), 200 - i);
            assert_true(mailbox_take_handshake(&f->box, HANDSHAKE_UNGATED, &handshake));
            assert_int_equal(handshake.at, i);
            assert_int_equal(handshake.from.port, i);
            assert_int_equal(handshake.len, MESSAGE_HANDSHAKE_MAX);
            assert_int_equal(handshake.bytes[MESSAGE_HANDSHAKE_MAX - 1], (uint8_t)i);
        }
        assert_false(mailbox_take_handshake(&f->box, HANDSHAKE_UNGATED, &handshake));
        assert_int_equal(mailbox_waiting(&f->box, HANDSHAKE_UNGATED), 0);
    }
}

static void a_full_ring_refuses_the_newest(void **state)
{
    struct fixture *f = *state;
    struct mail_handshake handshake;
    for (uint16_t i = 0; i < MAILBOX_UNGATED_MAX; i++)
        assert_true(put_handshake(&f->box, i));
    assert_false(put_handshake(&f->box, 9999));
    assert_true(mailbox_take_handshake(&f->box, HANDSHAKE_UNGATED, &handshake));
    assert_int_equal(handshake.from.port, 0);
    assert_true(put_handshake(&f->box, 10000));
    assert_false(put_handshake(&f->box, 10001));
}

static void a_message_longer_than_any_handshake_is_refused(void **state)
{
    struct fixture *f = *state;
    const struct endpoint from = {.family = ENDPOINT_IPV4};
    uint8_t bytes[MESSAGE_HANDSHAKE_MAX + 1] = {0};
    assert_false(mailbox_put_handshake(&f->box, HANDSHAKE_UNGATED, bytes, sizeof(bytes), &from, 0));
    assert_int_equal(mailbox_waiting(&f->box, HANDSHAKE_UNGATED), 0);
}

static void each_class_has_room_of_its_own(void **state)
{
    struct fixture *f = *state;
    const struct endpoint from = {.family = ENDPOINT_IPV4};
    const uint8_t answer[sizeof(struct message_response)] = {MESSAGE_RESPONSE};
    struct mail_handshake handshake;
    for (uint16_t i = 0; i < MAILBOX_UNGATED_MAX; i++)
        assert_true(put_handshake(&f->box, i));
    assert_false(mailbox_has_room(&f->box, HANDSHAKE_UNGATED));
    for (int class = HANDSHAKE_ANSWER; class <= HANDSHAKE_GATED; class ++) {
        assert_true(mailbox_has_room(&f->box, class));
        assert_true(mailbox_put_handshake(&f->box, class, answer, sizeof(answer), &from, 7));
        assert_true(mailbox_take_handshake(&f->box, class, &handshake));
        assert_int_equal(handshake.at, 7);
    }
}

/* A cookie reply of a session's index is repeated at will by who saw it. */
static void cookie_replies_leave_room_for_responses(void **state)
{
    struct fixture *f = *state;
    const struct endpoint from = {.family = ENDPOINT_IPV4};
    const uint8_t cookie[sizeof(struct message_cookie_reply)] = {MESSAGE_COOKIE_REPLY};
    const uint8_t answer[sizeof(struct message_response)] = {MESSAGE_RESPONSE};
    for (int i = 0; i < MAILBOX_COOKIES_MAX; i++)
        assert_true(mailbox_put_handshake(&f->box, HANDSHAKE_ANSWER, cookie, sizeof(cookie), &from, 0));
    assert_false(mailbox_put_handshake(&f->box, HANDSHAKE_ANSWER, cookie, sizeof(cookie), &from, 0));
    assert_true(mailbox_put_handshake(&f->box, HANDSHAKE_ANSWER, answer, sizeof(answer), &from, 0));
}

static void the_first_of_many_wakes_and_the_rest_do_not(void **state)
{
    struct fixture *f = *state;
    put(&f->box, 1);
    assert_true(is_woken_within(f, PATIENCE));
    put(&f->box, 2);
    assert_false(is_woken_within(f, SHORT_WHILE));
    take_all(f, 2);
    put(&f->box, 3);
    assert_true(is_woken_within(f, PATIENCE));
    take_all(f, 1);
}

static void mail_that_comes_after_the_mail_was_taken_wakes_though_a_handshake_waits(void **state)
{
    struct fixture *f = *state;
    struct mail_handshake handshake;
    assert_true(put_handshake(&f->box, 1));
    assert_true(is_woken_within(f, PATIENCE));
    take_all(f, 0);
    put(&f->box, 1);
    assert_true(mailbox_take_handshake(&f->box, HANDSHAKE_UNGATED, &handshake));
    assert_true(is_woken_within(f, PATIENCE));
    take_all(f, 1);
}

static void a_handshake_wakes_though_mail_waits(void **state)
{
    struct fixture *f = *state;
    put(&f->box, 1);
    assert_true(is_woken_within(f, PATIENCE));
    assert_true(put_handshake(&f->box, 1));
    assert_true(is_woken_within(f, PATIENCE));
    take_all(f, 1);
}

struct writer {
    struct mailbox *box;
    uint32_t serial;
    uint32_t handshakes; /* that found room */
    pthread_t thread;
};

static void *write_mails(void *context)
{
    struct writer *w = context;
    for (uint32_t i = 0; i < MAILS; i++) {
        put(w->box, (peer_id)w->serial << 32 | i);
        if (i % 16 == 0)
            w->handshakes += put_handshake(w->box, (uint16_t)w->serial);
    }
    return NULL;
}

/* Reads as the control thread does: waits, takes all mail, then the handshakes. Ends when all mails are there, which
 * they are only if none waited for a wake-up that did not come. */
static uint32_t read_mails(struct fixture *f, uint32_t next[WRITERS], uint32_t *handshakes)
{
    struct mail_handshake handshake;
    uint32_t total = 0, count;
    while (total < WRITERS * MAILS) {
        if (!is_woken_within(f, PATIENCE))
            break;
        struct mail *mail = mailbox_take(&f->box, &count);
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal((uint32_t)mail[i].peer, next[mail[i].peer >> 32]++);
        free(mail);
        total += count;
        while (mailbox_take_handshake(&f->box, HANDSHAKE_UNGATED, &handshake))
            ++*handshakes;
    }
    while (mailbox_take_handshake(&f->box, HANDSHAKE_UNGATED, &handshake))
        ++*handshakes;
    return total;
}

static void nothing_of_several_writers_is_lost_or_waits_for_ever(void **state)
{
    struct fixture *f = *state;
    struct writer writers[WRITERS];
    uint32_t next[WRITERS] = {0}, handshakes = 0, late = 0;
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.box = &f->box, .serial = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_mails, &writers[i]), 0);
    }
    uint32_t total = read_mails(f, next, &handshakes);
    for (uint32_t i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        late += writers[i].handshakes;
    }
    assert_int_equal(total, WRITERS * MAILS);
    assert_int_equal(handshakes + mailbox_waiting(&f->box, HANDSHAKE_UNGATED), late);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_box, close_box)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mail_is_taken_all_at_once_in_order),
        TEST(handshakes_are_taken_one_by_one_in_order),
        TEST(a_full_ring_refuses_the_newest),
        TEST(each_class_has_room_of_its_own),
        TEST(cookie_replies_leave_room_for_responses),
        TEST(a_message_longer_than_any_handshake_is_refused),
        TEST(the_first_of_many_wakes_and_the_rest_do_not),
        TEST(mail_that_comes_after_the_mail_was_taken_wakes_though_a_handshake_waits),
        TEST(a_handshake_wakes_though_mail_waits),
        TEST(nothing_of_several_writers_is_lost_or_waits_for_ever),
    };
    return cmocka_run_group_tests_name("engine/mailbox", tests, NULL, NULL);
}
