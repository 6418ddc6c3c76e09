/*
 * login.c - AUTH [masteruser] masterauth.
 */
#include "server/drive/login.h"

#include "base/words.h"
#include "server/conf/config.h"

bool login_request(struct config *config, struct buf *request)
{
    struct buf user = {0}, password = {0};
    struct slice u = slice_str(config_string(config, "masteruser", &user));
    struct slice p = slice_str(config_string(config, "masterauth", &password));

    if (p.size > 0 && u.size > 0)
        WORDS(request, SLICE_LITERAL("AUTH"), u, p);
    else if (p.size > 0)
        WORDS(request, SLICE_LITERAL("AUTH"), p);
    buf_free(&user);
    buf_free(&password);
    return p.size > 0;
}
