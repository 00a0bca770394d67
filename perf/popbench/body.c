/*
 * A message that is arriving in reply to RETR: its end, its stuffed dots, its digest.
 *
 * The octets before the data are copied in front of it, so that every question is one about neighbours in
 * memory, wherever the network cut. Looking only at dots costs a hundredth of looking at lines: there are none
 * in base64.
 */
#define _GNU_SOURCE
#include "popbench.h"

#include <string.h>

#define FINAL_LINE 3    /* ".\r\n" */

void body_begin(struct body *body, bool verify)
{
    EVP_MD_CTX *hash = body->hash;
    *body = (struct body){ .tail = "\0\0\r\n", .hash = hash };
    if (!verify) return;
    if (!hash) body->hash = EVP_MD_CTX_new();
    if (!body->hash || !EVP_DigestInit_ex(body->hash, EVP_sha256(), NULL)) die("cannot compute SHA-256");
}

static void hash(struct body *body, const char *from, const char *to)
{
    if (body->hash && to > from && !EVP_DigestUpdate(body->hash, from, (size_t)(to - from)))
        die("cannot compute SHA-256");
}

static bool is(const char *at, const char *text)
{
    return !memcmp(at, text, strlen(text));
}

/* There must be room for BODY_CONTEXT octets before `data`. */
size_t body_feed(struct body *body, char *data, size_t length, bool *complete)
{
    char *end = data + length, *unhashed = data - body->held;
    memcpy(data - BODY_CONTEXT, body->tail, BODY_CONTEXT);
    *complete = false;
    for (char *dot = data; (dot = memchr(dot, '.', (size_t)(end - dot))); dot++) {
        if (is(dot - 3, "\r\n.")) {
            body->stuffed++;
            hash(body, unhashed, dot);
            unhashed = dot + 1;
        } else if (end - dot > FINAL_LINE && is(dot - 2, "\r\n.\r\n")) {
            end = dot + FINAL_LINE;     /* what follows was not asked for */
            break;
        }
    }
    body->octets += (uint64_t)(end - data);
    *complete = body->octets >= FINAL_LINE && is(end - FINAL_LINE - 2, "\r\n.\r\n");
    char *keep = end - FINAL_LINE > unhashed ? end - FINAL_LINE : unhashed;
    hash(body, unhashed, keep);
    body->held = (size_t)(end - keep);
    memcpy(body->tail, end - BODY_CONTEXT, BODY_CONTEXT);
    return (size_t)(end - data);
}

uint64_t body_octets(const struct body *body)
{
    return body->octets - body->stuffed - FINAL_LINE;
}

void body_digest(struct body *body, uint8_t *digest)
{
    if (!EVP_DigestFinal_ex(body->hash, digest, NULL)) die("cannot compute SHA-256");
}
