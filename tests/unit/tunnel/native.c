/* Native transport between Alice and Bob, who offer both AEADs unless a test says otherwise. */
#include "world.h"

#include "noise_vectors.h"
#include "tunnel/internal.h"

#define AES (1u << AEAD_AES_256_GCM)
#define CHACHA (1u << AEAD_CHACHA20_POLY1305)
#define LEN 100
#define INNER sizeof(struct message_native_inner)
#define HEADER sizeof(struct message_transport)

static int set_up(void **state)
{
    int error = world_setup(state);
    struct world *w = *state;
    for (int who = 0; who < WORLD_NODES; who++)
        w->nodes[who].aeads = AES | CHACHA;
    world_restart(w, ALICE);
    world_restart(w, BOB);
    node_set_endpoint(&w->nodes[ALICE], w->peer[ALICE][BOB], &w->at[BOB]);
    return error;
}

static void restart_with(struct world *w, uint32_t alice, uint32_t bob)
{
    w->nodes[ALICE].aeads = alice;
    w->nodes[BOB].aeads = bob;
    world_restart(w, ALICE);
    world_restart(w, BOB);
    node_set_endpoint(&w->nodes[ALICE], w->peer[ALICE][BOB], &w->at[BOB]);
}

static struct session *session(struct world *w, enum who whose, enum who whom)
{
    return world_peer(w, whose, whom)->session_current;
}

/* The other's hello arrives. */
static void hear(struct world *w, enum who who, enum who from)
{
    tunnel_session_set_native(w->nodes[who].tunnel, w->peer[who][from], session(w, who, from)->indexed.index,
                              w->nodes[from].aeads);
}

static void connect_native(struct world *w)
{
    world_connect(w);
    hear(w, ALICE, BOB);
    hear(w, BOB, ALICE);
}

static struct wire send_native(struct world *w)
{
    world_packet(w, ALICE, BOB, LEN);
    return world_take_type(w, MESSAGE_NATIVE);
}

/* As Alice would send it, were she to send such a thing. */
static struct wire forge(struct world *w, enum message_type type, uint64_t counter, const void *text, uint32_t len)
{
    const struct session *s = session(w, ALICE, BOB);
    struct wire wire = {.from = w->at[ALICE], .to = w->at[BOB], .len = MESSAGE_TRANSPORT_MIN + len};
    struct message_transport header = {
        .type = put_le32(type), .receiver = put_le32(s->remote_index), .counter = put_le64(counter)};
    enum aead aead = type == MESSAGE_NATIVE ? (enum aead)(s->native - 1) : AEAD_CHACHA20_POLY1305;
    struct aead_op op = {.key = type == MESSAGE_NATIVE ? s->native_keys[aead].send : s->send_key,
                         .text = wire.bytes + HEADER,
                         .ad = wire.bytes,
                         .len = len,
                         .ad_len = type == MESSAGE_NATIVE ? HEADER : 0,
                         .counter = counter};
    memcpy(wire.bytes, &header, sizeof(header));
    if (len > 0)
        memcpy(wire.bytes + HEADER, text, len);
    crypto_seal_batch(w->nodes[ALICE].crypto, aead, &op, 1);
    assert_int_equal(op.result, 0);
    return wire;
}

static uint64_t next_counter(struct world *w)
{
    return atomic_fetch_add(&session(w, ALICE, BOB)->send_counter, 1);
}

/* ---- What is sent, and when ---- */

static void a_session_begins_without_native_transport(void **state)
{
    struct world *w = *state;
    world_connect(w);
    assert_int_equal(w->type_sent[ALICE], MESSAGE_TRANSPORT);
    assert_int_equal(w->type_sent[BOB], MESSAGE_TRANSPORT);
    assert_null(session(w, ALICE, BOB)->send_ready);
}

static void native_transport_is_sent_once_the_hello_was_heard(void **state)
{
    struct world *w = *state;
    connect_native(w);
    assert_true(world_passes(w, ALICE, BOB));
    assert_int_equal(w->type_sent[ALICE], MESSAGE_NATIVE);
    assert_true(world_passes(w, BOB, ALICE));
    assert_int_equal(w->type_sent[BOB], MESSAGE_NATIVE);
}

static void native_messages_are_not_padded(void **state)
{
    struct world *w = *state;
    connect_native(w);
    for (size_t len = 20; len < 70; len++) {
        world_packet(w, ALICE, BOB, len);
        struct wire wire = world_take_type(w, MESSAGE_NATIVE);
        assert_int_equal(wire.len, HEADER + INNER + len + MESSAGE_TAG_SIZE);
        world_arrive(w, &wire);
        assert_int_equal(get_be16(w->last_packet + 2), len);
        for (size_t i = 20; i < len; i++)
            assert_int_equal(w->last_packet[i], (uint8_t)i);
    }
}

static void the_aead_is_aes_if_both_offer_it(void **state)
{
    static const struct {
        uint32_t alice, bob, native;
    } cases[] = {
        {AES | CHACHA, AES | CHACHA, 1 + AEAD_AES_256_GCM},
        {AES | CHACHA, CHACHA, 1 + AEAD_CHACHA20_POLY1305},
        {CHACHA, AES | CHACHA, 1 + AEAD_CHACHA20_POLY1305},
        {CHACHA, CHACHA, 1 + AEAD_CHACHA20_POLY1305},
        {AES, AES | CHACHA, 1 + AEAD_AES_256_GCM},
        {AES, CHACHA, 0},
        {AES | CHACHA, 0, 0},
        {0, AES | CHACHA, 0},
        {0, 0, 0},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        restart_with(w, cases[i].alice, cases[i].bob);
        connect_native(w);
        assert_int_equal(session(w, ALICE, BOB)->native, cases[i].native);
        assert_int_equal(session(w, BOB, ALICE)->native, cases[i].native);
        world_connect(w);
        assert_int_equal(w->type_sent[ALICE], cases[i].native ? MESSAGE_NATIVE : MESSAGE_TRANSPORT);
        assert_int_equal(w->type_sent[BOB], cases[i].native ? MESSAGE_NATIVE : MESSAGE_TRANSPORT);
    }
}

static void aeads_that_nobody_knows_are_as_none(void **state)
{
    struct world *w = *state;
    world_connect(w);
    tunnel_session_set_native(w->nodes[ALICE].tunnel, w->peer[ALICE][BOB], session(w, ALICE, BOB)->indexed.index,
                              ~(AES | CHACHA));
    world_connect(w);
    assert_int_equal(w->type_sent[ALICE], MESSAGE_TRANSPORT);
}

static void a_hello_counts_for_its_peers_session_alone(void **state)
{
    struct world *w = *state;
    struct tunnel *alice = w->nodes[ALICE].tunnel;
    world_befriend(w, ALICE, CAROL);
    world_connect(w);
    assert_true(world_passes(w, ALICE, CAROL));
    uint32_t index = session(w, ALICE, BOB)->indexed.index;
    tunnel_session_set_native(alice, w->peer[ALICE][CAROL], index, AES);
    tunnel_session_set_native(alice, w->peer[ALICE][BOB], index + 1, AES);
    tunnel_session_set_native(alice, 0, index, AES);
    assert_int_equal(session(w, ALICE, BOB)->native, 0);
    assert_int_equal(session(w, ALICE, CAROL)->native, 0);
}

static void a_later_hello_changes_nothing(void **state)
{
    struct world *w = *state;
    connect_native(w);
    tunnel_session_set_native(w->nodes[ALICE].tunnel, w->peer[ALICE][BOB], session(w, ALICE, BOB)->indexed.index,
                              CHACHA);
    assert_int_equal(session(w, ALICE, BOB)->native, 1 + AEAD_AES_256_GCM);
    assert_true(world_passes(w, ALICE, BOB));
}

static void a_new_session_waits_for_its_own_hello(void **state)
{
    struct world *w = *state;
    connect_native(w);
    const struct session *before = session(w, ALICE, BOB);
    world_skip(w, REKEY_AFTER_TIME + SECOND);
    assert_true(world_passes(w, ALICE, BOB));
    assert_ptr_not_equal(session(w, ALICE, BOB), before);
    assert_true(world_passes(w, ALICE, BOB));
    assert_int_equal(w->type_sent[ALICE], MESSAGE_TRANSPORT);
    hear(w, ALICE, BOB);
    assert_true(world_passes(w, ALICE, BOB));
    assert_int_equal(w->type_sent[ALICE], MESSAGE_NATIVE);
}

static void control_frames_go_unpadded(void **state)
{
    struct world *w = *state;
    const uint8_t frame[37] = {3, 9};
    connect_native(w);
    node_frame(&w->nodes[ALICE], w->peer[ALICE][BOB], frame, sizeof(frame));
    struct wire wire = world_take_type(w, MESSAGE_NATIVE);
    world_arrive(w, &wire);
    assert_int_equal(w->nodes[BOB].tally.frames, 1);
    assert_int_equal(w->nodes[BOB].last_frame_len, sizeof(frame));
    assert_memory_equal(w->nodes[BOB].last_frame, frame, sizeof(frame));
}

static void a_keepalive_is_an_empty_packet(void **state)
{
    struct world *w = *state;
    connect_native(w);
    uint32_t before = w->delivered[BOB];
    node_set_keepalive(&w->nodes[ALICE], w->peer[ALICE][BOB], 20);
    struct wire wire = world_take_type(w, MESSAGE_NATIVE);
    assert_int_equal(wire.len, MESSAGE_NATIVE_MIN);
    world_arrive(w, &wire);
    assert_int_equal(w->delivered[BOB], before);
    assert_int_equal(world_counters(w, BOB).bad_native + world_counters(w, BOB).bad_packet, 0);
    assert_int_equal(world_peer(w, BOB, ALICE)->traversal, w->nodes[BOB].now.monotonic);
}

/* ---- Keys ---- */

static void every_key_is_another_and_the_peer_has_the_same(void **state)
{
    struct world *w = *state;
    world_connect(w);
    const struct session *a = session(w, ALICE, BOB), *b = session(w, BOB, ALICE);
    const uint8_t *keys[] = {a->send_key,
                             a->receive_key,
                             a->native_keys[0].send,
                             a->native_keys[0].receive,
                             a->native_keys[1].send,
                             a->native_keys[1].receive};
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(keys[i], keys[j], AEAD_KEY_SIZE);
    for (int aead = 0; aead < AEADS; aead++) {
        assert_memory_equal(a->native_keys[aead].send, b->native_keys[aead].receive, AEAD_KEY_SIZE);
        assert_memory_equal(a->native_keys[aead].receive, b->native_keys[aead].send, AEAD_KEY_SIZE);
    }
}

static void who_offers_nothing_derives_nothing(void **state)
{
    struct world *w = *state;
    restart_with(w, 0, AES | CHACHA);
    world_connect(w);
    assert_true(is_zero(session(w, ALICE, BOB)->native_keys, sizeof(struct native_keys) * AEADS));
}

/* With the keys of the slow twin's handshake. */
static void messages_are_those_of_the_slow_twin(void **state)
{
    static const struct {
        enum aead aead;
        const uint8_t *key, *message;
    } cases[] = {{AEAD_AES_256_GCM, vector_initiator_sends_aes, vector_native_aes},
                 {AEAD_CHACHA20_POLY1305, vector_initiator_sends_chacha, vector_native_chacha}};
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE];
    for (size_t i = 0; i < 2; i++) {
        uint8_t bytes[TUNNEL_HEADROOM_MAX + sizeof(vector_packet) + MESSAGE_TAG_SIZE];
        struct sealing packet = {.at = bytes, .len = sizeof(vector_packet)};
        struct tunnel_notice notice;
        restart_with(w, AES | CHACHA, AES | CHACHA);
        world_connect(w);
        struct session *s = session(w, ALICE, BOB);
        memcpy(s->native_keys[cases[i].aead].send, cases[i].key, AEAD_KEY_SIZE);
        s->remote_index = 0xaabbccdd;
        s->send_counter = 3;
        s->native = 1 + (uint32_t)cases[i].aead;
        struct tunnel_way way = tunnel_find_way(world_peer(w, ALICE, BOB), alice->now.monotonic);
        memcpy(bytes + way.headroom, vector_packet, sizeof(vector_packet));
        assert_int_equal(tunnel_seal_batch(alice->tunnel, alice->crypto, world_peer(w, ALICE, BOB), &way, &packet, 1, 0,
                                           alice->now.monotonic, &notice),
                         0);
        assert_int_equal(packet.sealed_len, sizeof(bytes));
        assert_memory_equal(bytes, cases[i].message, sizeof(bytes));
    }
}

/* ---- Before the hello ---- */

static void native_messages_before_the_hello_are_opened_and_answered_in_kind(void **state)
{
    static const uint32_t alices[] = {AES | CHACHA, CHACHA, AES};
    struct world *w = *state;
    for (size_t i = 0; i < 3; i++) {
        restart_with(w, alices[i], AES | CHACHA);
        world_connect(w);
        hear(w, ALICE, BOB);
        assert_true(world_passes(w, ALICE, BOB));
        assert_int_equal(w->type_sent[ALICE], MESSAGE_NATIVE);
        assert_int_equal(session(w, BOB, ALICE)->native, session(w, ALICE, BOB)->native);
        assert_true(world_passes(w, BOB, ALICE));
        assert_int_equal(w->type_sent[BOB], MESSAGE_NATIVE);
    }
}

static void a_forged_message_teaches_nothing(void **state)
{
    struct world *w = *state;
    world_connect(w);
    hear(w, ALICE, BOB);
    struct wire wire = send_native(w), forged = wire;
    forged.bytes[wire.len - 1] ^= 1;
    world_arrive(w, &forged);
    assert_int_equal(session(w, BOB, ALICE)->native, 0);
    assert_int_equal(world_counters(w, BOB).bad_packet, 1);
    world_arrive(w, &wire);
    assert_int_equal(session(w, BOB, ALICE)->native, 1 + AEAD_AES_256_GCM);
}

static void open_all(struct node *n, struct opening *messages, size_t count)
{
    struct tunnel_notice notices[TUNNEL_BATCH_MAX];
    size_t notice_count;
    reclaim_enter(&n->reader);
    tunnel_open_batch(n->tunnel, n->crypto, messages, count, n->now.monotonic, notices, &notice_count);
    reclaim_leave(&n->reader);
}

/* In the order of arrival: an unknown AEAD is found while others wait, and serves at once. */
static void one_batch_holds_all_kinds(void **state)
{
    struct world *w = *state;
    struct wire wires[12];
    struct opening openings[12];
    world_connect(w);
    for (int i = 0; i < 12; i++) {
        if (i == 3)
            hear(w, ALICE, BOB);
        world_packet(w, ALICE, BOB, 20 + (size_t)i);
        world_take(w, &wires[i]);
        if (i > 3 && i % 3 == 0) {
            const uint8_t packet[20] = {0x45, [3] = 20, [12] = 10, [15] = ALICE};
            wires[i] = forge(w, MESSAGE_TRANSPORT, next_counter(w), packet, sizeof(packet));
        }
        openings[i] = (struct opening){.at = wires[i].bytes, .len = (uint32_t)wires[i].len, .from = &w->at[ALICE]};
    }
    open_all(&w->nodes[BOB], openings, 12);
    for (int i = 0; i < 12; i++) {
        assert_non_null(openings[i].packet);
        assert_int_equal(openings[i].packet_len, i > 3 && i % 3 == 0 ? 20 : 20 + i);
    }
}

static void a_long_message_waits_until_it_is_known_what_the_peer_does(void **state)
{
    struct world *w = *state;
    struct node *bob = &w->nodes[BOB];
    uint8_t bytes[4096] = {0}, first[4096];
    struct tunnel_notice notice;
    world_connect(w);
    hear(w, ALICE, BOB);
    memcpy(bytes + TUNNEL_HEADROOM_MAX, (uint8_t[]){0x45, 0, 3000 >> 8, 3000 & 0xff, [12] = 10, 0, 0, ALICE}, 16);
    memset(bytes + TUNNEL_HEADROOM_MAX + 16, 10, 4);
    struct tunnel_way way = tunnel_find_way(world_peer(w, ALICE, BOB), w->nodes[ALICE].now.monotonic);
    struct sealing packet = {.at = bytes, .len = 3000};
    assert_int_equal(tunnel_seal_batch(w->nodes[ALICE].tunnel, w->nodes[ALICE].crypto, world_peer(w, ALICE, BOB), &way,
                                       &packet, 1, 0, w->nodes[ALICE].now.monotonic, &notice),
                     0);
    memcpy(first, bytes, sizeof(first));
    struct opening opening = {.at = first, .len = packet.sealed_len, .from = &w->at[ALICE]};
    open_all(bob, &opening, 1);
    assert_null(opening.packet);
    assert_true(world_passes(w, ALICE, BOB));
    opening = (struct opening){.at = bytes, .len = packet.sealed_len, .from = &w->at[ALICE]};
    open_all(bob, &opening, 1);
    assert_non_null(opening.packet);
    assert_int_equal(opening.packet_len, 3000);
}

/* ---- What is refused ---- */

/* Neither delivers, nor spoils what comes after: the window moves only after verification. */
static void assert_refused(struct world *w, const struct wire *spoiled)
{
    uint32_t before = w->delivered[BOB];
    uint64_t next = session(w, BOB, ALICE)->replay.next;
    world_arrive(w, spoiled);
    assert_int_equal(w->delivered[BOB], before);
    assert_int_equal(session(w, BOB, ALICE)->replay.next, next);
}

static void every_byte_is_authenticated(void **state)
{
    struct world *w = *state;
    connect_native(w);
    struct wire wire = send_native(w);
    for (size_t i = 0; i < wire.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            struct wire spoiled = wire;
            spoiled.bytes[i] ^= (uint8_t)(1 << bit);
            assert_refused(w, &spoiled);
        }
    for (int type = 0; type < 256; type++) {
        struct wire spoiled = wire;
        spoiled.bytes[0] = (uint8_t)type;
        if (type != MESSAGE_NATIVE)
            assert_refused(w, &spoiled);
    }
    uint32_t before = w->delivered[BOB];
    world_arrive(w, &wire);
    assert_int_equal(w->delivered[BOB], before + 1);
}

static void no_truncation_is_taken(void **state)
{
    struct world *w = *state;
    connect_native(w);
    struct wire wire = send_native(w);
    for (size_t len = 0; len < wire.len; len++) {
        struct wire spoiled = wire;
        spoiled.len = len;
        assert_refused(w, &spoiled);
    }
}

static void what_was_sealed_for_one_session_opens_in_no_other(void **state)
{
    struct world *w = *state;
    world_befriend(w, CAROL, BOB);
    connect_native(w);
    assert_true(world_passes(w, CAROL, BOB));
    assert_true(world_passes(w, BOB, CAROL));
    hear(w, BOB, CAROL);
    struct wire wire = send_native(w);
    struct le32 index = put_le32(session(w, BOB, CAROL)->indexed.index);
    memcpy(wire.bytes + offsetof(struct message_transport, receiver), &index, sizeof(index));
    assert_refused(w, &wire);
    assert_int_equal(world_counters(w, BOB).bad_packet, 1);
}

static void the_other_aead_is_not_taken_once_one_is_known(void **state)
{
    struct world *w = *state;
    connect_native(w);
    session(w, ALICE, BOB)->native = 1 + AEAD_CHACHA20_POLY1305;
    struct wire wire = send_native(w);
    assert_refused(w, &wire);
}

static void who_offers_nothing_opens_nothing(void **state)
{
    struct world *w = *state;
    restart_with(w, AES | CHACHA, 0);
    world_connect(w);
    tunnel_session_set_native(w->nodes[ALICE].tunnel, w->peer[ALICE][BOB], session(w, ALICE, BOB)->indexed.index, AES);
    struct wire wire = send_native(w);
    assert_refused(w, &wire);
    assert_int_equal(world_counters(w, BOB).bad_packet, 1);
    assert_true(world_passes(w, BOB, ALICE));
    assert_int_equal(w->type_sent[BOB], MESSAGE_TRANSPORT);
}

static void an_inner_header_that_means_nothing_is_dropped_and_counted(void **state)
{
    struct world *w = *state;
    uint64_t counted = 0;
    connect_native(w);
    uint32_t before = w->delivered[BOB];
    for (int i = 0; i < 4; i++)
        for (int bit = i == 0 ? 1 : 0; bit < 8; bit++) {
            uint8_t text[INNER + 20] = {[INNER] = 0x45, [INNER + 3] = 20, [INNER + 12] = 10, [INNER + 15] = ALICE};
            text[i] = (uint8_t)(1 << bit);
            struct wire wire = forge(w, MESSAGE_NATIVE, next_counter(w), text, sizeof(text));
            world_arrive(w, &wire);
            assert_int_equal(world_counters(w, BOB).bad_native, ++counted);
        }
    const uint8_t keepalive[INNER] = {MESSAGE_NATIVE_PARTIAL_CHECKSUM};
    struct wire wire = forge(w, MESSAGE_NATIVE, next_counter(w), keepalive, sizeof(keepalive));
    world_arrive(w, &wire);
    const uint8_t frame[INNER + 4] = {MESSAGE_NATIVE_PARTIAL_CHECKSUM, [INNER] = 3};
    wire = forge(w, MESSAGE_NATIVE, next_counter(w), frame, sizeof(frame));
    world_arrive(w, &wire);
    assert_int_equal(world_counters(w, BOB).bad_native, counted + 2);
    assert_int_equal(w->delivered[BOB], before);
    assert_int_equal(w->nodes[BOB].tally.frames, 0);
}

static void less_than_an_inner_header_is_no_message(void **state)
{
    struct world *w = *state;
    connect_native(w);
    for (uint32_t len = 0; len < INNER; len++) {
        const uint8_t text[INNER] = {0};
        struct wire wire = forge(w, MESSAGE_NATIVE, next_counter(w), text, len);
        assert_refused(w, &wire);
    }
}

static void a_partial_checksum_is_told(void **state)
{
    struct world *w = *state;
    connect_native(w);
    for (uint8_t flags = 0; flags < 2; flags++) {
        uint8_t text[INNER + 20] = {flags, [INNER] = 0x45, [INNER + 3] = 20, [INNER + 12] = 10, [INNER + 15] = ALICE};
        struct wire wire = forge(w, MESSAGE_NATIVE, next_counter(w), text, sizeof(text));
        struct opening opening = {.at = wire.bytes, .len = (uint32_t)wire.len, .from = &w->at[ALICE]};
        open_all(&w->nodes[BOB], &opening, 1);
        assert_non_null(opening.packet);
        assert_int_equal(opening.partial, flags);
    }
}

/* ---- One counter, one window ---- */

static void both_types_share_the_counter(void **state)
{
    struct world *w = *state;
    connect_native(w);
    struct node *alice = &w->nodes[ALICE];
    struct peer *bob = world_peer(w, ALICE, BOB);
    uint64_t last = atomic_load(&session(w, ALICE, BOB)->send_counter) - 1;
    for (int i = 0; i < 20; i++) {
        uint8_t bytes[200] = {0};
        struct sealing packet = {.at = bytes, .len = 30};
        struct tunnel_notice notice;
        struct tunnel_way way = tunnel_find_way(bob, alice->now.monotonic), plain = tunnel_plain_way(way);
        assert_int_equal(tunnel_seal_batch(alice->tunnel, alice->crypto, bob, i % 3 ? &way : &plain, &packet, 1, 0,
                                           alice->now.monotonic, &notice),
                         0);
        assert_int_equal(bytes[0], i % 3 ? MESSAGE_NATIVE : MESSAGE_TRANSPORT);
        assert_int_equal(get_le64(((const struct message_transport *)bytes)->counter), ++last);
    }
}

static void a_counter_that_one_type_used_is_a_replay_in_the_other(void **state)
{
    struct world *w = *state;
    uint8_t packet[20] = {0x45, [3] = 20, [12] = 10, [15] = ALICE}, text[INNER + 20] = {0};
    memcpy(text + INNER, packet, sizeof(packet));
    connect_native(w);
    uint32_t before = w->delivered[BOB];
    for (int i = 0; i < 4; i++) {
        uint64_t counter = next_counter(w);
        struct wire native = forge(w, MESSAGE_NATIVE, counter, text, sizeof(text));
        struct wire plain = forge(w, MESSAGE_TRANSPORT, counter, packet, sizeof(packet));
        world_arrive(w, i % 2 ? &native : &plain);
        world_arrive(w, i % 2 ? &plain : &native);
        assert_int_equal(w->delivered[BOB], ++before);
        assert_int_equal(world_counters(w, BOB).replayed, i + 1);
    }
}

static void a_replay_is_not_delivered(void **state)
{
    struct world *w = *state;
    connect_native(w);
    struct wire wire = send_native(w);
    uint32_t before = w->delivered[BOB];
    world_arrive(w, &wire);
    world_arrive(w, &wire);
    assert_int_equal(w->delivered[BOB], before + 1);
    assert_int_equal(world_counters(w, BOB).replayed, 1);
}

/* ---- Limits ---- */

static void a_key_that_sealed_2_to_the_34_blocks_is_renewed(void **state)
{
    struct world *w = *state;
    for (int who = BOB; who >= ALICE; who--) {
        enum who other = who == BOB ? ALICE : BOB;
        world_run(w, 600 * SECOND);
        connect_native(w);
        uint64_t before = world_counters(w, (enum who)who).handshakes;
        world_skip(w, 10 * SECOND);
        const struct session *s = session(w, (enum who)who, other);
        uint64_t one = (HEADER + INNER + LEN + MESSAGE_TAG_SIZE) / 16 + 1;
        atomic_store(&session(w, (enum who)who, other)->send_blocks, REKEY_AFTER_BLOCKS - one);
        assert_true(world_passes(w, (enum who)who, other));
        assert_int_equal(world_counters(w, (enum who)who).handshakes, before);
        assert_true(world_passes(w, (enum who)who, other));
        assert_true(world_passes(w, other, (enum who)who));
        assert_int_equal(world_counters(w, (enum who)who).handshakes, before + 1);
        assert_ptr_not_equal(session(w, (enum who)who, other), s);
    }
}

static void a_key_seals_no_more_than_2_to_the_35_blocks(void **state)
{
    struct world *w = *state;
    connect_native(w);
    world_skip(w, 10 * SECOND);
    struct session *worn = session(w, ALICE, BOB);
    uint64_t one = (HEADER + INNER + LEN + MESSAGE_TAG_SIZE) / 16 + 1;
    atomic_store(&worn->send_blocks, REJECT_AFTER_BLOCKS - one);
    struct wire last = send_native(w);
    world_run_cut_off(w, SECOND); /* the renewal is lost */
    world_arrive(w, &last);
    world_packet(w, ALICE, BOB, LEN);
    assert_int_equal(node_staged_count(&w->nodes[ALICE], w->peer[ALICE][BOB]), 1);
    assert_true(atomic_load(&worn->send_blocks) >= REJECT_AFTER_BLOCKS);
    world_run(w, 6 * SECOND);
    assert_ptr_not_equal(session(w, ALICE, BOB), worn);
    assert_int_equal(w->delivered[BOB], 3);
}

static void the_last_blocks_are_not_overdrawn(void **state)
{
    struct world *w = *state;
    connect_native(w);
    world_skip(w, 10 * SECOND);
    atomic_store(&session(w, ALICE, BOB)->send_blocks, REJECT_AFTER_BLOCKS - 1);
    world_packet(w, ALICE, BOB, LEN);
    assert_int_equal(node_staged_count(&w->nodes[ALICE], w->peer[ALICE][BOB]), 1);
    assert_int_equal(w->type_sent[ALICE], MESSAGE_INITIATION);
}

static void what_is_not_native_spends_no_blocks(void **state)
{
    struct world *w = *state;
    world_connect(w);
    assert_int_equal(session(w, ALICE, BOB)->send_blocks, 0);
}

/* ---- Ways ---- */

static void a_way_serves_until_the_reader_leaves(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE];
    uint8_t bytes[200] = {0};
    struct sealing packet = {.at = bytes, .len = 30};
    struct tunnel_notice notice;
    connect_native(w);
    assert_true(world_passes(w, ALICE, BOB));
    reclaim_enter(&alice->reader);
    struct peer *bob = world_peer(w, ALICE, BOB);
    struct tunnel_way way = tunnel_find_way(bob, alice->now.monotonic);
    assert_true(way.native);
    assert_int_equal(way.headroom, HEADER + INNER);
    node_event(alice, TUNNEL_EVENT_DOWN);
    assert_int_equal(
        tunnel_seal_batch(alice->tunnel, alice->crypto, bob, &way, &packet, 1, 0, alice->now.monotonic, &notice), 0);
    assert_int_equal(tunnel_seal_batch(alice->tunnel, alice->crypto, bob, &way, &packet, 1, 0,
                                       alice->now.monotonic + REJECT_AFTER_TIME, &notice),
                     ERROR_NO_SESSION);
    struct tunnel_way none = tunnel_find_way(bob, alice->now.monotonic);
    assert_null(none.session);
    assert_int_equal(none.headroom, HEADER);
    assert_int_equal(
        tunnel_seal_batch(alice->tunnel, alice->crypto, bob, &none, &packet, 1, 0, alice->now.monotonic, &notice),
        ERROR_NO_SESSION);
    reclaim_leave(&alice->reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_begins_without_native_transport),
        TEST(native_transport_is_sent_once_the_hello_was_heard),
        TEST(native_messages_are_not_padded),
        TEST(the_aead_is_aes_if_both_offer_it),
        TEST(aeads_that_nobody_knows_are_as_none),
        TEST(a_hello_counts_for_its_peers_session_alone),
        TEST(a_later_hello_changes_nothing),
        TEST(a_new_session_waits_for_its_own_hello),
        TEST(control_frames_go_unpadded),
        TEST(a_keepalive_is_an_empty_packet),
        TEST(every_key_is_another_and_the_peer_has_the_same),
        TEST(who_offers_nothing_derives_nothing),
        TEST(messages_are_those_of_the_slow_twin),
        TEST(native_messages_before_the_hello_are_opened_and_answered_in_kind),
        TEST(a_forged_message_teaches_nothing),
        TEST(one_batch_holds_all_kinds),
        TEST(a_long_message_waits_until_it_is_known_what_the_peer_does),
        TEST(every_byte_is_authenticated),
        TEST(no_truncation_is_taken),
        TEST(what_was_sealed_for_one_session_opens_in_no_other),
        TEST(the_other_aead_is_not_taken_once_one_is_known),
        TEST(who_offers_nothing_opens_nothing),
        TEST(an_inner_header_that_means_nothing_is_dropped_and_counted),
        TEST(less_than_an_inner_header_is_no_message),
        TEST(a_partial_checksum_is_told),
        TEST(both_types_share_the_counter),
        TEST(a_counter_that_one_type_used_is_a_replay_in_the_other),
        TEST(a_replay_is_not_delivered),
        TEST(a_key_that_sealed_2_to_the_34_blocks_is_renewed),
        TEST(a_key_seals_no_more_than_2_to_the_35_blocks),
        TEST(the_last_blocks_are_not_overdrawn),
        TEST(what_is_not_native_spends_no_blocks),
        TEST(a_way_serves_until_the_reader_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
