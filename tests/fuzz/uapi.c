/* Bytes as a client of wg-peer's socket sends them, to a device with a real tunnel and no engine. Whatever they did,
 * what get shows afterwards must make the same device again. */
#include <stdio.h>
#include <string.h>

#include "../interop/uapi.h"
#include "../unit/interop/fake_engine.h"
#include "fuzz.h"

struct world {
    struct engine engine;
    struct device device;
    struct uapi_request request;
    struct uapi_text reply;
};

static void open_world(struct world *w)
{
    memset(w, 0, sizeof(*w));
    must(fake_engine_init(&w->engine) == 0);
    w->device.engine = &w->engine;
    must(crypto_new(&w->device.crypto, CRYPTO_BULK_OPENSSL) == 0);
}

static void close_world(struct world *w)
{
    uapi_text_free(&w->reply);
    crypto_free(w->device.crypto);
    fake_engine_clear(&w->engine);
}

/* A reply is there at the end of a request, and only then. */
static void take_line(struct world *w, const char *line)
{
    bool ends = w->request.kind != UAPI_IDLE && *line == '\0';
    uapi_line(&w->request, &w->device, line, &w->reply);
    must(!w->reply.failed);
    must((w->reply.len > 0) == ends);
    if (!ends)
        return;
    must(w->request.kind == UAPI_IDLE);
    must(w->reply.len >= 9 && memcmp(w->reply.bytes + w->reply.len - 2, "\n\n", 2) == 0);
    uapi_text_free(&w->reply);
}

/* Ends where the server would close the connection. */
static void take_bytes(struct world *w, const char *bytes, size_t size)
{
    char line[UAPI_LINE_MAX];
    size_t len = 0;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n') {
            line[len] = '\0';
            len = 0;
            take_line(w, line);
        } else if (bytes[i] != '\0' && len < sizeof(line) - 1) {
            line[len++] = bytes[i];
        } else {
            return;
        }
    }
}

static bool is_counter(const char *line)
{
    return strncmp(line, "last_handshake_time_", 20) == 0 || strncmp(line, "tx_bytes=", 9) == 0 ||
           strncmp(line, "rx_bytes=", 9) == 0;
}

static void set_lines(struct world *w, const struct uapi_text *state)
{
    char line[UAPI_LINE_MAX];
    take_line(w, "set=1");
    for (size_t at = 0, len; at < state->len; at += len + 1) {
        const char *end = memchr(state->bytes + at, '\n', state->len - at);
        must(end);
        len = (size_t)(end - (state->bytes + at));
        must(len < sizeof(line));
        memcpy(line, state->bytes + at, len);
        line[len] = '\0';
        if (!is_counter(line))
            take_line(w, line);
        must(w->request.error == 0);
    }
    take_line(w, "");
}

static void check_state_makes_itself_again(struct world *w)
{
    struct world again;
    struct uapi_text before = {0}, after = {0};
    open_world(&again);
    uapi_write_state(&w->device, &before);
    set_lines(&again, &before);
    uapi_write_state(&again.device, &after);
    must(before.len == after.len && (before.len == 0 || memcmp(before.bytes, after.bytes, before.len) == 0));
    uapi_text_free(&before);
    uapi_text_free(&after);
    close_world(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    open_world(&w);
    take_bytes(&w, (const char *)data, size);
    check_state_makes_itself_again(&w);
    close_world(&w);
    return 0;
}
