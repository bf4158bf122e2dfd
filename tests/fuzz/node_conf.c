/* node.conf: what is taken is plain; and replacing its port keeps it so. */
#include <string.h>

#include "../../node/conf.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf conf, again;
    unsigned line;
    const char *why;
    char out[2 * CONF_MAX];
    const char *text = (const char *)data;
    if (size > CONF_MAX)
        return 0;
    if (conf_parse(&conf, text, size, &line, &why) != 0) {
        must(why && line > 0);
        return 0;
    }
    must(strlen(conf.tun) <= CONF_TUN_MAX && strpbrk(conf.tun, "\"/ {};") == NULL);
    must(conf.keep.count <= KEEP_MAX);
    int len = conf_with_port(text, size, 51820, out, sizeof(out));
    must(len > 0);
    must(conf_parse(&again, out, (size_t)len, &line, &why) == 0);
    must(again.port == 51820 && strcmp(again.tun, conf.tun) == 0);
    must(again.keep.count == conf.keep.count);
    for (uint32_t i = 0; i < conf.keep.count; i++)
        must(again.keep.ports[i].udp == conf.keep.ports[i].udp && again.keep.ports[i].port == conf.keep.ports[i].port);
    return 0;
}
