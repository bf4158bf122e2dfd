#include "door.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/time.h"
#include "keeper.h"
#include "net/loop.h"
#include "proc/log.h"
#include "proc/messages.h"
#include "proc/permits.h"
#include "store.h"

#define MESSAGES_A_TURN 64 /* before timers get their turn */

struct door {
    struct loop *loop;
    struct ipc *ipc;
    struct keeper *keeper;
    int error; /* the first that ends it; ERROR_GONE: the other side ended */
};

static uint64_t wall_seconds(void)
{
    return loop_wall() / SECOND;
}

static void note(struct door *d, int error)
{
    if (!d->error)
        d->error = error;
}

static void flush(struct door *d)
{
    bool waits = ipc_flush(d->ipc);
    int error = loop_want_write(d->loop, ipc_fd(d->ipc), waits);
    if (error)
        note(d, error);
}

static void send_frame(void *context, const uint8_t *frame, size_t len)
{
    struct door *d = context;
    struct ipc_frame head = {0};
    memset(head.device, 0xff, sizeof(head.device));
    int error = ipc_send2(d->ipc, IPC_FRAME, &head, sizeof(head), frame, len);
    /* What does not fit is lost, as any frame may be; it is asked for again. */
    if (error && error != ERROR_FULL)
        note(d, error);
}

/* What stands, and what could not be kept; refusals are the asker's to hear of, and a log must not grow by them. */
static void tell(void *context, const uint8_t statement[SHA256_SIZE], enum fold_verdict verdict, uint64_t index)
{
    (void)context;
    char start[HEX_SIZE(4)];
    if (verdict == VERDICT_STANDS)
        log_line("info", "sequenced", "index=%" PRIu64 " statement=%s", index, hex_print(start, statement, 4));
    if (verdict == VERDICT_STORE)
        log_line("error", "store-failed",
                 "what=\"a statement could not be kept\" todo=\"check space and health of the disk under the "
                 "controller's directory\"");
}

static int take(struct door *d, const struct ipc_message *m)
{
    if (m->kind != IPC_FRAME)
        return ERROR_MALFORMED;
    return sequencer_frame(keeper_sequencer(d->keeper), m->bytes + sizeof(struct ipc_frame),
                           m->len - sizeof(struct ipc_frame), wall_seconds(), loop_monotonic());
}

static void ready(void *context, int fd)
{
    (void)fd;
    struct door *d = context;
    for (int i = 0; i < MESSAGES_A_TURN && !d->error; i++) {
        struct ipc_message m;
        int error = ipc_receive(d->ipc, &m);
        if (error == ERROR_AGAIN)
            break;
        note(d, error ? error : take(d, &m));
    }
    flush(d);
}

static int turn(struct door *d)
{
    int error = loop_once(d->loop, sequencer_deadline(keeper_sequencer(d->keeper)));
    if (!error)
        error = sequencer_timer(keeper_sequencer(d->keeper), wall_seconds(), loop_monotonic());
    flush(d);
    return error;
}

static int open_all(struct door *d, struct crypto *c, int fd, const uint8_t seed[ED25519_SEED_SIZE])
{
    struct keeper_ops ops = {.send = send_frame, .judged = tell, .context = d};
    int error = permits_open(&d->ipc, fd, PROC_CONTROLLER, PROC_ENGINE);
    if (!error)
        error = loop_new(&d->loop);
    if (!error)
        error = keeper_open(&d->keeper, c, &ops, seed, STORE_FILE, NULL);
    if (!error)
        error = loop_add(d->loop, ipc_fd(d->ipc), ready, d);
    return error;
}

int door_serve(struct crypto *c, int fd, const uint8_t seed[ED25519_SEED_SIZE])
{
    struct door d = {0};
    int error = open_all(&d, c, fd, seed);
    if (!error && !sequencer_is_entitled(keeper_sequencer(d.keeper)))
        log_line("warning", "not-sequencing", "what=\"the network's root does not name this controller's key\"");
    while (!error) {
        error = turn(&d);
        if (!error)
            error = d.error;
    }
    keeper_close(d.keeper);
    if (d.loop)
        loop_free(d.loop);
    if (d.ipc)
        ipc_free(d.ipc);
    return error == ERROR_GONE ? 0 : error;
}
