#include <errno.h>
#include <linux/rtnetlink.h>

#include "net/netlink_internal.h"

int netlink_ask(struct mnl_socket *socket, const struct nlmsghdr *request, mnl_cb_t take, void *context)
{
    _Alignas(struct nlmsghdr) uint8_t answer[NETLINK_MESSAGE_MAX];
    if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
        return -errno;
    ssize_t len;
    do { /* a reply with another number answers a question that was given up */
        len = mnl_socket_recvfrom(socket, answer, sizeof(answer));
    } while ((len < 0 && errno == EINTR) ||
             (len >= (ssize_t)sizeof(struct nlmsghdr) && ((struct nlmsghdr *)answer)->nlmsg_seq != request->nlmsg_seq));
    if (len < 0)
        return -errno;
    int done = mnl_cb_run(answer, (size_t)len, request->nlmsg_seq, mnl_socket_get_portid(socket), take, context);
    return done < 0 ? -errno : 0;
}

struct nlmsghdr *netlink_begin(void *bytes, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *request = mnl_nlmsg_put_header(bytes);
    request->nlmsg_type = type;
    request->nlmsg_flags = NLM_F_REQUEST | flags;
    request->nlmsg_seq = 1;
    return request;
}

int netlink_open_socket(struct mnl_socket **out)
{
    struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (socket == NULL)
        return errno == EMFILE || errno == ENFILE ? ERROR_FULL : ERROR_IO;
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) != 0) {
        mnl_socket_close(socket);
        return ERROR_IO;
    }
    *out = socket;
    return 0;
}

static int error_of(int number)
{
    switch (number) {
    case 0:
        return 0;
    case EPERM:
    case EACCES:
        return ERROR_PERMISSION;
    case ENODEV:
        return ERROR_GONE;
    case EEXIST:
        return ERROR_EXISTS;
    case EINVAL:
    case ERANGE:
        return ERROR_INVALID;
    case EOPNOTSUPP:
        return ERROR_UNSUPPORTED;
    default:
        return ERROR_IO;
    }
}

int netlink_ask_once(const struct nlmsghdr *request)
{
    struct mnl_socket *socket;
    int error = netlink_open_socket(&socket);
    if (error != 0)
        return error;
    error = error_of(-netlink_ask(socket, request, NULL, NULL));
    mnl_socket_close(socket);
    return error;
}

struct sought {
    uint16_t type;
    uint32_t value;
};

static int compare(const struct nlattr *attribute, void *context)
{
    struct sought *sought = context;
    if (mnl_attr_get_type(attribute) == sought->type && mnl_attr_validate(attribute, MNL_TYPE_U32) == 0)
        sought->value = mnl_attr_get_u32(attribute);
    return MNL_CB_OK;
}

uint32_t netlink_u32(const struct nlmsghdr *message, uint32_t body_len, uint16_t type)
{
    struct sought sought = {.type = type};
    mnl_attr_parse(message, body_len, compare, &sought);
    return sought.value;
}
