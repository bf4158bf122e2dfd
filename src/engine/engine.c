/* The control thread: feeds the state machine, and carries out what it asks for. */
#include "engine/engine.h"

#include <stdlib.h>
#include <sys/random.h>

#include "engine/internal.h"

#define MTU_DEFAULT 1420
#define FLOW_BUCKETS 2048 /* 8 flows each */

static void fill_from_kernel(void *context, uint8_t *out, size_t len)
{
    (void)context;
    while (len > 0) {
        ssize_t got = getrandom(out, len, 0);
        if (got < 0)
            abort(); /* without randomness nothing may go on */
        out += got;
        len -= (size_t)got;
    }
}

struct tunnel_time engine_now(void)
{
    return (struct tunnel_time){.monotonic = loop_monotonic(), .wall = loop_wall()};
}

/* ---- Mail ---- */

static void hand_over_frame(struct engine *e, const struct mail *mail)
{
    struct engine_arrival by = {.from = mail->path, .session = mail->session};
    e->options.frame(e->options.context, mail->peer, &by, mail->bytes, mail->len);
}

static void read_mail(struct engine *e)
{
    uint32_t count;
    struct mail *mail = mailbox_take(&e->inbox, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (mail[i].kind == MAIL_NOTICE)
            actions_step(e, &(struct tunnel_event){.kind = TUNNEL_EVENT_NOTICE, .notice = mail[i].notice});
        else if (mail[i].kind == MAIL_LOCAL_REFUSED)
            tunnel_peer_forget_local(e->tunnel, mail[i].peer);
        else if (mail[i].kind == MAIL_FRAME)
            hand_over_frame(e, &mail[i]);
        else if (mail[i].kind == MAIL_WANTED && e->options.wanted)
            e->options.wanted(e->options.context, mail[i].peer, mail[i].address, mail[i].len);
        else if (mail[i].kind == MAIL_GONE)
            e->gone = true;
    }
    mail_free(mail, count);
}

int engine_run_once(struct engine *e)
{
    uint64_t deadline = earlier(tunnel_deadline(e->tunnel), earlier(link_deadline(e), admit_deadline(e)));
    int error = loop_once(e->loop, deadline);
    if (error != 0)
        return error;
    read_mail(e);
    if (admit_serve(e))
        loop_wake(e->loop); /* the rest has its turn after what else is ready */
    actions_step(e, &(struct tunnel_event){.kind = TUNNEL_EVENT_TIMER});
    link_expire(e);
    actions_send(e);
    return e->gone ? ERROR_GONE : 0;
}

/* ---- Up and down, port and mark ---- */

static int open_port(struct engine *e)
{
    struct udp_options options = {.port = e->port, .mark = e->mark, .no_offloads = e->options.no_offloads};
    int error = e->options.adopt_udp ? udp_adopt(&e->udp, e->options.udp4, e->options.udp6, options.no_offloads)
                                     : udp_open(&e->udp, &options);
    if (error == 0) {
        e->port = udp_port(e->udp);
        link_look(e);
    }
    return error;
}

static void stop_threads(struct engine *e)
{
    sender_stop(e->sender);
    receiver_stop(e->receiver);
}

static int start_threads(struct engine *e)
{
    int error = receiver_start(e->receiver);
    return error != 0 ? error : sender_start(e->sender);
}

static void tell_links_down(struct engine *e)
{
    if (!e->options.link)
        return;
    for (peer_id peer = tunnel_peer_next(e->tunnel, 0); peer != 0; peer = tunnel_peer_next(e->tunnel, peer))
        e->options.link(e->options.context, peer, false);
}

static void go_down(struct engine *e)
{
    stop_threads(e);
    sender_discard_all(e->sender);
    udp_close(e->udp);
    e->udp = NULL;
    e->outgoing_count = 0;
    actions_step(e, &(struct tunnel_event){.kind = TUNNEL_EVENT_DOWN});
    tell_links_down(e);
}

static int go_up(struct engine *e)
{
    int error = open_port(e);
    if (error != 0)
        return error;
    error = start_threads(e);
    if (error != 0) {
        go_down(e);
        return error;
    }
    actions_step(e, &(struct tunnel_event){.kind = TUNNEL_EVENT_UP});
    return 0;
}

static int follow_link(struct engine *e)
{
    int error = 0;
    if (e->up && !e->link_up)
        go_down(e);
    else if (!e->up && e->link_up)
        error = go_up(e);
    e->up = e->link_up && error == 0;
    return error;
}

void engine_set_up(struct engine *e, bool up)
{
    e->link_up = up;
    int error = follow_link(e);
    if (error != 0 && e->options.trouble)
        e->options.trouble(e->options.context, error);
}

/* Moves to another port; stays at the old one if that fails. */
static int move_port(struct engine *e, uint16_t old_port)
{
    struct udp *old = e->udp;
    stop_threads(e);
    int error = open_port(e);
    if (error == 0) {
        udp_close(old);
        link_forget_sources(e);
    } else {
        e->udp = old;
        e->port = old_port;
    }
    int start_error = start_threads(e);
    if (start_error != 0) {
        go_down(e);
        e->up = false;
    }
    return error != 0 ? error : start_error;
}

int engine_set_port(struct engine *e, uint16_t port)
{
    uint16_t old_port = e->port;
    if (e->options.adopt_udp)
        return ERROR_UNSUPPORTED;
    if (e->up && port != 0 && port == e->port)
        return 0;
    e->port = port;
    if (e->up)
        return move_port(e, old_port);
    int error = follow_link(e);
    if (error != 0)
        e->port = old_port;
    return error;
}

uint16_t engine_port(const struct engine *e)
{
    return e->port;
}

int engine_set_mark(struct engine *e, uint32_t mark)
{
    int error = e->udp && mark != e->mark ? udp_set_mark(e->udp, mark) : 0;
    if (error != 0 || mark == e->mark)
        return error;
    e->mark = mark;
    link_forget_sources(e);
    return 0;
}

uint32_t engine_mark(const struct engine *e)
{
    return e->mark;
}

/* ---- Beginning and end ---- */

static int new_flows(struct engine *e)
{
    uint8_t key[16];
    fill_from_kernel(NULL, key, sizeof(key));
    int error = flow_table_new(&e->flows, FLOW_BUCKETS, key);
    wipe(key, sizeof(key));
    return error;
}

static int build(struct engine *e)
{
    struct tunnel_options options = {
        .dark = e->options.dark, .entropy = {.fill = fill_from_kernel}, .aeads = (uint32_t)engine_aeads(e)};
    uint64_t key[4];
    fill_from_kernel(NULL, (uint8_t *)key, sizeof(key));
    permits_init(&e->permits, key);
    int error = tunnel_new(&e->tunnel, &options);
    if (error == 0 && e->options.police)
        error = new_flows(e);
    if (error == 0)
        error = loop_new(&e->loop);
    if (error == 0)
        error = mailbox_init(&e->inbox, e->loop, true);
    if (error == 0)
        error = sender_new(&e->sender, e);
    if (error == 0)
        error = receiver_new(&e->receiver, e);
    if (error == 0)
        error = link_open(e);
    if (error != 0 || e->tun)
        return error;
    e->link_up = true;
    return follow_link(e);
}

int engine_new(struct engine **out, struct tun *tun, const struct engine_options *options)
{
    struct engine *e = calloc(1, sizeof(*e));
    if (!e) {
        tun_close(tun);
        return ERROR_MEMORY;
    }
    e->tun = tun;
    e->options = *options;
    e->mtu = MTU_DEFAULT;
    e->relay_rate = RELAY_RATE_DEFAULT;
    int error = build(e);
    if (error != 0)
        engine_free(e);
    else
        *out = e;
    return error;
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    if (e->sender && e->receiver)
        stop_threads(e);
    link_close(e);
    sender_free(e->sender);
    receiver_free(e->receiver);
    tunnel_free(e->tunnel);
    permits_clear(&e->permits);
    flow_table_free(e->flows);
    udp_close(e->udp);
    tun_close(e->tun);
    mailbox_clear(&e->inbox);
    loop_free(e->loop);
    wipe(e, sizeof(*e));
    free(e);
}

struct tunnel *engine_tunnel(struct engine *e)
{
    return e->tunnel;
}

struct loop *engine_loop(struct engine *e)
{
    return e->loop;
}
