#include "show.h"

#include <qrencode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "say.h"

#define QUIET_ZONE 4 /* ISO/IEC 18004: as wide around the code */

int show_json(json_t *object)
{
    json_t *whole = json_pack("{s:i, s:b}", "schema", 1, "ok", 1);
    bool good = whole && object && json_object_update(whole, object) == 0 &&
                json_dumpf(whole, stdout, JSON_COMPACT) == 0 && putchar('\n') == '\n' && fflush(stdout) == 0;
    json_decref(whole);
    json_decref(object);
    return good ? EXIT_DONE : EXIT_NO;
}

static bool is_dark(const QRcode *code, int x, int y)
{
    if (x < 0 || y < 0 || x >= code->width || y >= code->width)
        return false;
    return code->data[y * code->width + x] & 1;
}

/* Two modules above each other a character; light is drawn, for terminals are dark. */
static void print_qr(const QRcode *code)
{
    static const char *const blocks[2][2] = {{"\u2588", "\u2580"}, {"\u2584", " "}};
    for (int y = -QUIET_ZONE; y < code->width + QUIET_ZONE; y += 2) {
        for (int x = -QUIET_ZONE; x < code->width + QUIET_ZONE; x++)
            fputs(blocks[is_dark(code, x, y)][is_dark(code, x, y + 1)], stdout);
        putchar('\n');
    }
}

static int show_qr(struct cli *cli, const char *text)
{
    QRcode *code = QRcode_encodeString(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1);
    if (!code)
        return say_no(cli, "Take it as text, without --qr.", "The ticket is too long for a QR code.");
    print_qr(code);
    QRcode_free(code);
    return fflush(stdout) ? say_no(cli, NULL, "The ticket could not be written.") : 0;
}

static int show(struct cli *cli, const struct ticket *ticket, const char *text, bool qr, json_t *more)
{
    if (cli->json) {
        json_t *o = json_pack("{s:s, s:s, s:s}", "network", ticket->network_name, "state", cli->state, "ticket", text);
        if (o && more)
            json_object_update(o, more);
        json_decref(more);
        return show_json(o);
    }
    json_decref(more);
    if (qr)
        return show_qr(cli, text);
    return puts(text) < 0 || fflush(stdout) ? say_no(cli, NULL, "The ticket could not be written.") : 0;
}

int ticket_show(struct cli *cli, const struct ticket *ticket, bool qr, json_t *more)
{
    char *text = malloc(TICKET_TEXT_MAX);
    int len = text ? ticket_print(cli->crypto, ticket, text, TICKET_TEXT_MAX) : ERROR_MEMORY;
    if (len < 0) {
        json_decref(more);
        free(text);
        return say_failed(cli, len, "The ticket cannot be made");
    }
    int result = show(cli, ticket, text, qr, more);
    wipe(text, TICKET_TEXT_MAX);
    free(text);
    return result;
}
