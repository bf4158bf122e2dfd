#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "../unit/ledger/network.h"
#include "fuzz.h"

/* A founded network whose hub, operator's node, or a joining device is sent frames by whoever the input says: pieces of
 * [who, to whom, length (2 bytes), frame]. Whatever is said, two nodes at one place are of one mind. */
static void speak(struct net *net, uint8_t who, uint8_t to, const uint8_t *frame, size_t len)
{
    const struct device_id stranger = {{1, 2, 3}}, invite = replica_invite_id(&net->hub_invite.id);
    const struct device_id *speakers[] = {&net->hub_invite.id, &net->operator_invite.id, &replica_controller, &invite,
                                          &stranger};
    struct net_node *node = &net->nodes[to % net->node_count];
    net->now += NET_SECOND / 1000;
    replica_frame(node->replica, speakers[who % 5], who & 0x80, frame, len, net->now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct net *net = net_new();
    static struct net_invite invite = {.name = "sensor-1", .number = 20};
    net_run(net, 1);
    net_make_invite(net, &invite);
    struct net_node *joiner = net_join(net, &invite, 30);
    while (size >= 4) {
        size_t len = (size_t)data[2] << 8 | data[3];
        len = len < size - 4 ? len : size - 4;
        speak(net, data[0], data[1], data + 4, len);
        data += 4 + len;
        size -= 4 + len;
    }
    net_run(net, 0.2);
    const struct head *a = fold_head(replica_fold(NET_OPERATOR(net)->replica)),
                      *b = fold_head(replica_fold(NET_HUB(net)->replica));
    must(a->index != b->index || memcmp(a->hash, b->hash, SHA256_SIZE) == 0);
    must(!joiner->joined_called || joiner->joined != VERDICT_STANDS || joiner->reason);
    net_free(net);
    return 0;
}
