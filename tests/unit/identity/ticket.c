#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "identity/ticket.h"
#include "identity/ticket_text.h"

#define ROOM 4096

static int set_up(void **state)
{
    return crypto_new((struct crypto **)state, CRYPTO_BULK_OPENSSL);
}

static int tear_down(void **state)
{
    crypto_free(*state);
    return 0;
}

static struct ticket_bytes text_bytes(const char *text)
{
    return (struct ticket_bytes){(const uint8_t *)text, strlen(text)};
}

static struct ticket common(void)
{
    struct ticket t = {
        .network_name = "plant-7", .invite = text_bytes("an invite"), .opening = text_bytes("its opening")};
    memset(t.network.bytes, 1, sizeof(t.network.bytes));
    memset(t.seed, 2, sizeof(t.seed));
    return t;
}

static struct ticket plain_ticket(void)
{
    struct ticket t = common();
    t.head_index = 70000;
    memset(t.head_hash, 3, sizeof(t.head_hash));
    memset(t.fold_root, 4, sizeof(t.fold_root));
    t.time = 1800000000;
    t.relay_count = 2;
    t.relays[0] = (struct ticket_relay){.device = {{5}}, .endpoint = {{203, 0, 113, 5}, 51820, 4}, .static_key = {6}};
    t.relays[1] = (struct ticket_relay){.device = {{7}}, .endpoint = {{0x20, 1, 0xd, 0xb8}, 443, 6}, .static_key = {8}};
    return t;
}

static struct ticket founding_ticket(void)
{
    struct ticket t = common();
    t.founding = true;
    t.statement_count = 2;
    t.statements[0] = text_bytes("root");
    t.statements[1] = text_bytes("invite");
    t.times[0] = t.times[1] = 1800000000;
    t.opening_count = 1;
    t.openings[0] = text_bytes("an opening");
    return t;
}

static void assert_same_bytes(const struct ticket_bytes *a, const struct ticket_bytes *b)
{
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->bytes, b->bytes, a->len);
}

static void assert_same_common(const struct ticket *a, const struct ticket *b)
{
    assert_int_equal(a->founding, b->founding);
    assert_memory_equal(&a->network, &b->network, sizeof(a->network));
    assert_string_equal(a->network_name, b->network_name);
    assert_memory_equal(a->seed, b->seed, SEED_SIZE);
    assert_same_bytes(&a->invite, &b->invite);
    assert_same_bytes(&a->opening, &b->opening);
}

static void assert_same_relay(const struct ticket_relay *a, const struct ticket_relay *b)
{
    assert_memory_equal(&a->device, &b->device, sizeof(a->device));
    assert_memory_equal(a->endpoint.address, b->endpoint.address, 16);
    assert_int_equal(a->endpoint.family, b->endpoint.family);
    assert_int_equal(a->endpoint.port, b->endpoint.port);
    assert_memory_equal(a->static_key, b->static_key, X25519_SIZE);
}

static void a_ticket_comes_back_as_it_went(void **state)
{
    char text[ROOM];
    uint8_t buffer[ROOM];
    struct ticket out, t = plain_ticket();
    int len = ticket_print(*state, &t, text, sizeof(text));
    assert_true(len > 0 && strlen(text) == (size_t)len);
    assert_memory_equal(text, "nightjar-ticket-1:", 18);
    assert_int_equal(ticket_parse(*state, &out, text, (size_t)len, buffer), TICKET_GOOD);
    assert_same_common(&t, &out);
    assert_int_equal(out.head_index, t.head_index);
    assert_memory_equal(out.head_hash, t.head_hash, SHA256_SIZE);
    assert_memory_equal(out.fold_root, t.fold_root, SHA256_SIZE);
    assert_int_equal(out.time, t.time);
    assert_int_equal(out.relay_count, 2);
    for (unsigned i = 0; i < 2; i++)
        assert_same_relay(&out.relays[i], &t.relays[i]);
}

static void so_does_a_founding_ticket(void **state)
{
    char text[ROOM];
    uint8_t buffer[ROOM];
    struct ticket out, t = founding_ticket();
    int len = ticket_print(*state, &t, text, sizeof(text));
    assert_true(len > 0);
    assert_memory_equal(text, "nightjar-founding-1:", 20);
    assert_int_equal(ticket_parse(*state, &out, text, (size_t)len, buffer), TICKET_GOOD);
    assert_same_common(&t, &out);
    assert_int_equal(out.statement_count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_same_bytes(&out.statements[i], &t.statements[i]);
        assert_int_equal(out.times[i], t.times[i]);
    }
    assert_int_equal(out.opening_count, 1);
    assert_same_bytes(&out.openings[0], &t.openings[0]);
}

static void line_breaks_that_mail_put_in_do_no_harm(void **state)
{
    char text[ROOM], broken[2 * ROOM];
    uint8_t buffer[2 * ROOM];
    struct ticket out, t = plain_ticket();
    int len = ticket_print(*state, &t, text, sizeof(text));
    size_t at = 0;
    broken[at++] = '\n';
    for (int i = 0; i < len; i++) {
        broken[at++] = text[i];
        if (i % 7 == 0) {
            broken[at++] = '\r';
            broken[at++] = '\n';
        }
    }
    assert_int_equal(ticket_parse(*state, &out, broken, at, buffer), TICKET_GOOD);
    assert_same_common(&t, &out);
}

static void a_ticket_cut_anywhere_is_refused_as_cut(void **state)
{
    char text[ROOM];
    uint8_t buffer[ROOM];
    struct ticket out, t = plain_ticket();
    int len = ticket_print(*state, &t, text, sizeof(text));
    for (int keep = 0; keep < len; keep++) {
        enum ticket_fault fault = ticket_parse(*state, &out, text, (size_t)keep, buffer);
        assert_int_equal(fault, keep < 16 ? TICKET_NOT_A_TICKET : TICKET_CUT);
    }
}

static void a_ticket_with_one_letter_changed_is_refused(void **state)
{
    char text[ROOM];
    uint8_t buffer[ROOM];
    struct ticket out, t = plain_ticket();
    int len = ticket_print(*state, &t, text, sizeof(text));
    for (int i = 0; i < len; i++) {
        char was = text[i];
        text[i] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(ticket_parse(*state, &out, text, (size_t)len, buffer), TICKET_GOOD);
        assert_true(i < 18 || ticket_parse(*state, &out, text, (size_t)len, buffer) == TICKET_CUT);
        text[i] = was;
    }
}

static void other_texts_are_told_apart(void **state)
{
    static const struct {
        const char *text;
        enum ticket_fault fault;
    } texts[] = {
        {"", TICKET_NOT_A_TICKET},
        {"hello", TICKET_NOT_A_TICKET},
        {"NIGHTJAR-TICKET-1:AAAA", TICKET_NOT_A_TICKET},
        {"nightjar-ticket-2:AAAA", TICKET_OTHER_VERSION},
        {"nightjar-founding-2:AAAA", TICKET_OTHER_VERSION},
        {"nightjar-ticket-", TICKET_CUT},
        {"nightjar-ticket-1:", TICKET_CUT},
        {"nightjar-ticket-1:AAAA", TICKET_CUT},
        {"nightjar-ticket-1:not base64!", TICKET_CUT},
    };
    uint8_t buffer[64];
    struct ticket out;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(ticket_parse(*state, &out, texts[i].text, strlen(texts[i].text), buffer), texts[i].fault);
}

/* The text of `count` bytes with a checksum that holds. */
static size_t with_checksum(struct crypto *c, char *text, const char *prefix, const uint8_t *bytes, size_t count)
{
    uint8_t sealed[ROOM], digest[SHA256_SIZE];
    memcpy(sealed, bytes, count);
    assert_int_equal(crypto_sha256(c, digest, bytes, count), 0);
    memcpy(sealed + count, digest, 4);
    strcpy(text, prefix);
    base64url_write(text + strlen(prefix), sealed, count + 4);
    return strlen(prefix) + base64url_length(count + 4);
}

static void what_makes_no_sense_is_malformed_though_its_checksum_holds(void **state)
{
    static const uint8_t empty_map[] = {0xa0}, no_cbor[] = {0xff, 0xff};
    char text[ROOM];
    uint8_t buffer[ROOM];
    struct ticket out;
    size_t len = with_checksum(*state, text, "nightjar-ticket-1:", empty_map, sizeof(empty_map));
    assert_int_equal(ticket_parse(*state, &out, text, len, buffer), TICKET_MALFORMED);
    len = with_checksum(*state, text, "nightjar-ticket-1:", no_cbor, sizeof(no_cbor));
    assert_int_equal(ticket_parse(*state, &out, text, len, buffer), TICKET_MALFORMED);
}

/* A founding ticket's content under the other prefix, and the other way round. */
static void the_prefix_decides_what_a_ticket_must_hold(void **state)
{
    char text[ROOM], other[ROOM];
    uint8_t buffer[ROOM];
    struct ticket out, t = plain_ticket();
    assert_true(ticket_print(*state, &t, text, sizeof(text)) > 0);
    strcpy(other, "nightjar-founding-1:");
    strcat(other, text + strlen("nightjar-ticket-1:"));
    assert_int_equal(ticket_parse(*state, &out, other, strlen(other), buffer), TICKET_MALFORMED);
}

static void assert_printed_but_refused(struct crypto *c, const struct ticket *t)
{
    char text[ROOM];
    uint8_t buffer[ROOM];
    struct ticket out;
    int len = ticket_print(c, t, text, sizeof(text));
    assert_true(len > 0);
    assert_int_equal(ticket_parse(c, &out, text, (size_t)len, buffer), TICKET_MALFORMED);
    assert_true(out.relay_count == 0 && out.statement_count == 0 && out.seed[0] == 0);
}

static void a_ticket_without_relays_ports_or_a_proper_name_is_malformed(void **state)
{
    struct ticket t = plain_ticket();
    t.relay_count = 0;
    assert_printed_but_refused(*state, &t);
    t = plain_ticket();
    t.relays[1].endpoint.port = 0;
    assert_printed_but_refused(*state, &t);
    t = plain_ticket();
    strcpy(t.network_name, "Plant");
    assert_printed_but_refused(*state, &t);
    t = plain_ticket();
    t.invite.len = 0;
    assert_printed_but_refused(*state, &t);
}

static void a_founding_ticket_whose_times_go_back_is_malformed(void **state)
{
    struct ticket t = founding_ticket();
    t.times[1]--;
    assert_printed_but_refused(*state, &t);
    t = founding_ticket();
    t.statement_count = 0;
    assert_printed_but_refused(*state, &t);
}

static void a_ticket_that_does_not_fit_is_not_printed(void **state)
{
    char text[ROOM];
    struct ticket t = plain_ticket();
    int len = ticket_print(*state, &t, text, sizeof(text));
    for (size_t room = 0; room <= (size_t)len; room++)
        assert_int_equal(ticket_print(*state, &t, text, room), ERROR_OVERFLOW);
    assert_int_equal(ticket_print(*state, &t, text, (size_t)len + 1), len);
}

static void what_is_too_long_is_no_ticket(void **state)
{
    struct ticket out;
    char *text = malloc(TICKET_TEXT_MAX + 1);
    uint8_t *buffer = malloc(TICKET_TEXT_MAX + 1);
    assert_non_null(text);
    assert_non_null(buffer);
    memset(text, 'A', TICKET_TEXT_MAX + 1);
    memcpy(text, "nightjar-ticket-1:", 18);
    assert_int_equal(ticket_parse(*state, &out, text, TICKET_TEXT_MAX + 1, buffer), TICKET_NOT_A_TICKET);
    free(text);
    free(buffer);
}

static void every_fault_has_a_sentence(void **state)
{
    (void)state;
    for (int fault = TICKET_GOOD; fault <= TICKET_OTHER_VERSION; fault++) {
        const char *sentence = ticket_fault_sentence((enum ticket_fault)fault);
        assert_non_null(sentence);
        assert_int_equal(sentence[strlen(sentence) - 1], '.');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_comes_back_as_it_went),
        cmocka_unit_test(so_does_a_founding_ticket),
        cmocka_unit_test(line_breaks_that_mail_put_in_do_no_harm),
        cmocka_unit_test(a_ticket_cut_anywhere_is_refused_as_cut),
        cmocka_unit_test(a_ticket_with_one_letter_changed_is_refused),
        cmocka_unit_test(other_texts_are_told_apart),
        cmocka_unit_test(what_makes_no_sense_is_malformed_though_its_checksum_holds),
        cmocka_unit_test(the_prefix_decides_what_a_ticket_must_hold),
        cmocka_unit_test(a_ticket_without_relays_ports_or_a_proper_name_is_malformed),
        cmocka_unit_test(a_founding_ticket_whose_times_go_back_is_malformed),
        cmocka_unit_test(a_ticket_that_does_not_fit_is_not_printed),
        cmocka_unit_test(what_is_too_long_is_no_ticket),
        cmocka_unit_test(every_fault_has_a_sentence),
    };
    return cmocka_run_group_tests_name("identity-ticket", tests, set_up, tear_down);
}
