/* Errors: 0 is success, a failure is a negative enum, each with one sentence. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#define must_check __attribute__((warn_unused_result))

/* X(name, sentence): what happened, in words fit for a person. */
#define ERROR_TABLE(X)                                                                \
    X(MEMORY, "There is not enough memory.")                                          \
    X(TRUNCATED, "The data ends before it is complete.")                              \
    X(MALFORMED, "The data does not have the form that its format demands.")          \
    X(OVERFLOW, "The value does not fit where it has to go.")                         \
    X(INVALID, "An argument is outside what the operation accepts.")                  \
    X(NOT_FOUND, "There is no such thing.")                                           \
    X(EXISTS, "There is such a thing already.")                                       \
    X(FULL, "A fixed limit has been reached.")                                        \
    X(AUTHENTICATION, "The message was not made by the holder of the key.")           \
    X(LOW_ORDER, "The public key is a point of low order, which yields no secret.")   \
    X(REPLAYED, "The message was seen before.")                                       \
    X(NO_SESSION, "There is no session with the peer yet.")                           \
    X(NO_ENDPOINT, "The peer's endpoint is not known.")                               \
    X(EXPIRED, "The key is older, or was used more often, than the protocol allows.") \
    X(CRYPTO, "The cryptographic library failed.")                                    \
    X(UNSUPPORTED, "The kernel or the processor does not offer this.")                \
    X(PERMISSION, "The operating system refuses; root, or CAP_NET_ADMIN, is needed.") \
    X(NO_TUN, "/dev/net/tun is missing; load the tun module (modprobe tun).")         \
    X(GONE, "The interface was deleted.")                                             \
    X(IN_USE, "The address or name is in use by something else.")                     \
    X(NO_SPACE, "There is no space left on the disk.")                                \
    X(AGAIN, "Nothing is ready; try again later.")                                    \
    X(IO, "The operating system reported an input or output failure.")

enum error {
    ERROR_NONE = 0,
#define ERROR_ENUM_NEGATIVE(name, sentence) ERROR_POSITION_##name,
    ERROR_POSITION_FIRST_ = 0,
    ERROR_TABLE(ERROR_ENUM_NEGATIVE) ERROR_COUNT,
#undef ERROR_ENUM_NEGATIVE
#define ERROR_ENUM(name, sentence) ERROR_##name = -ERROR_POSITION_##name,
    ERROR_TABLE(ERROR_ENUM)
#undef ERROR_ENUM
};

/* The sentence for an error, or for 0. Static storage; never NULL. */
const char *error_sentence(int error);

#endif
