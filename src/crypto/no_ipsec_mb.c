#include "crypto/bulk.h"

int bulk_ipsec_mb(struct bulk *out)
{
    (void)out;
    return ERROR_UNSUPPORTED;
}
