#include "tunnel/static_step.h"

#include "base/bytes.h"
#include "tunnel/noise.h"

static void run_text(struct static_step *step, struct noise *n, struct crypto *c, const uint8_t key[AEAD_KEY_SIZE])
{
    uint8_t text[sizeof(step->text)];
    size_t sealed_len = step->text_len + AEAD_TAG_SIZE;
    if (step->text_kind == STATIC_STEP_OPEN_TEXT)
        noise_open(n, c, key, text, step->text, sealed_len);
    else
        noise_seal(n, c, key, text, step->text, step->text_len);
    if (n->error == 0)
        memcpy(step->text, text, step->text_kind == STATIC_STEP_OPEN_TEXT ? step->text_len : sealed_len);
    wipe(text, sizeof(text));
}

void static_step_run(struct static_step *step, struct crypto *c, const uint8_t private_key[X25519_SIZE])
{
    struct noise n;
    uint8_t key[AEAD_KEY_SIZE];

    if (step->text_len > X25519_SIZE) {
        step->result = ERROR_INVALID;
        return;
    }
    noise_load(&n, step->chaining_key, step->hash);
    noise_mix_dh(&n, c, private_key, step->remote, key);
    if (n.error == 0 && step->text_kind != STATIC_STEP_NO_TEXT)
        run_text(step, &n, c, key);
    step->result = n.error;
    if (n.error == 0)
        noise_save(&n, step->chaining_key, step->hash);
    wipe(key, sizeof(key));
    noise_wipe(&n);
}
