#include <stdlib.h>

#include "tunnel/internal.h"

struct session *session_new(struct peer *p, bool initiator, uint32_t remote_index, uint64_t now)
{
    struct session *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->indexed.kind = INDEXED_SESSION;
    s->indexed.peer = p;
    s->initiator = initiator;
    s->confirmed = initiator;
    s->remote_index = remote_index;
    s->born = now;
    return s;
}

void session_discard(struct session *s)
{
    wipe(s, sizeof(*s));
    free(s);
}

static void release_session(struct reclaim_item *item)
{
    session_discard((struct session *)item);
}

void session_retire(struct session *s)
{
    struct tunnel *t = s->indexed.peer->tunnel;
    index_table_release(&t->indices, s->indexed.index);
    reclaim_retire(&t->reclaim, &s->indexed.retired, release_session);
}

static void end(struct session **place)
{
    struct session *s = *place;
    if (!s)
        return;
    *place = NULL;
    session_retire(s);
}

/* Whichever session is current is the one to send with. */
static void make_current(struct peer *p, struct session *s)
{
    p->session_current = s;
    atomic_store_explicit(&p->sending, s, memory_order_release);
}

void session_begin_as_initiator(struct session *s, struct handshake *h)
{
    struct peer *p = s->indexed.peer;
    s->indexed.index = h->indexed.index;
    index_table_replace(&p->tunnel->indices, s->indexed.index, s);
    end(&p->session_previous);
    if (p->session_next) {
        /* The peer may be about to use the one that it began: keep that rather than what is older. */
        p->session_previous = p->session_next;
        p->session_next = NULL;
        struct session *replaced = p->session_current;
        make_current(p, s);
        end(&replaced);
        return;
    }
    p->session_previous = p->session_current;
    make_current(p, s);
}

void session_begin_as_responder(struct session *s)
{
    struct peer *p = s->indexed.peer;
    end(&p->session_next);
    end(&p->session_previous);
    p->session_next = s;
}

bool session_confirm(struct peer *p, uint32_t local_index)
{
    struct session *s = p->session_next, *previous = p->session_previous;
    /* Superseded by one that we began before it was used: it only serves what still comes in. */
    if (previous && previous->indexed.index == local_index)
        atomic_store_explicit(&previous->confirmed, true, memory_order_relaxed);
    if (!s || s->indexed.index != local_index)
        return false;
    end(&p->session_previous);
    p->session_previous = p->session_current;
    p->session_next = NULL;
    atomic_store_explicit(&s->confirmed, true, memory_order_relaxed);
    make_current(p, s);
    return true;
}

void session_end_all(struct peer *p)
{
    atomic_store_explicit(&p->sending, NULL, memory_order_release);
    end(&p->session_previous);
    end(&p->session_current);
    end(&p->session_next);
}
