/* Replaced by the folder's first source. */
typedef int crypto_placeholder;
