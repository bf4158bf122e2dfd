#include "net/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* setns moves the calling thread alone. */
static int index_in(int namespace, const char *name)
{
    int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (own < 0)
        return ERROR_IO;
    int index = ERROR_PERMISSION;
    if (setns(namespace, CLONE_NEWNET) == 0) {
        index = (int)if_nametoindex(name);
        if (setns(own, CLONE_NEWNET) != 0)
            index = ERROR_PERMISSION;
    }
    close(own);
    return index;
}

int tun_interface(const struct tun *tun)
{
    struct ifreq request = {0};
    if (ioctl(tun_fd(tun), TUNGETIFF, &request) != 0)
        return errno == EBADFD ? ERROR_GONE : ERROR_IO;
    int namespace = tun_namespace(tun);
    /* Who may not ask where it is may only look at home. */
    if (namespace < 0 && namespace != ERROR_UNSUPPORTED && namespace != ERROR_PERMISSION)
        return namespace;
    int index = namespace < 0 ? (int)if_nametoindex(request.ifr_name) : index_in(namespace, request.ifr_name);
    if (namespace >= 0)
        close(namespace);
    return index == 0 ? ERROR_GONE : index;
}
