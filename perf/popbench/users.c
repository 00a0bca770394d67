/* Who may log in, and what their messages must hash to. */
#define _GNU_SOURCE
#include "popbench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *open_or_die(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) die("%s: %s", path, strerror(errno));
    return file;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct user *)left)->name, ((const struct user *)right)->name);
}

static int by_digest(const void *left, const void *right)
{
    return memcmp(((const struct message *)left)->digest, ((const struct message *)right)->digest, DIGEST_SIZE);
}

/* Lines of "name:password". */
void users_load(struct users *users, const char *path)
{
    FILE *file = open_or_die(path);
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    while ((length = getline(&line, &size, file)) > 0) {
        line[strcspn(line, "\r\n")] = 0;
        char *colon = strchr(line, ':');
        if (!colon) die("%s: a line without a colon", path);
        *colon = 0;
        if (strlen(line) > 200 || strlen(colon + 1) > 200) die("%s: a name or password over 200 octets", path);
        users->list = grow(users->list, users->count + 1, &users->capacity, sizeof *users->list);
        struct user *user = &users->list[users->count++];
        *user = (struct user){ .name = strdup(line), .password = strdup(colon + 1) };
        if (!user->name || !user->password) die("out of memory");
    }
    free(line);
    fclose(file);
    if (!users->count) die("%s: no users", path);
    qsort(users->list, users->count, sizeof *users->list, by_name);
}

static void parse_digest(const char *hex, uint8_t *digest, const char *path)
{
    for (int i = 0; i < DIGEST_SIZE; i++) {
        unsigned octet;
        if (sscanf(hex + 2 * i, "%2x", &octet) != 1) die("%s: not a SHA-256: %s", path, hex);
        digest[i] = (uint8_t)octet;
    }
}

/* Lines of "user number octets sha256", of each message as RETR must send it: dots not stuffed, CRLF line ends,
 * the final line end included. Users that do not log in here are skipped. */
void users_load_manifest(struct users *users, const char *path)
{
    FILE *file = open_or_die(path);
    char name[256], hex[2 * DIGEST_SIZE + 1];
    unsigned long number, octets;
    int fields;
    while ((fields = fscanf(file, "%255s %lu %lu %64s", name, &number, &octets, hex)) == 4) {
        struct user key = { .name = name };
        struct user *user = bsearch(&key, users->list, users->count, sizeof key, by_name);
        if (!user) continue;
        user->messages = grow(user->messages, user->count + 1, &user->capacity, sizeof *user->messages);
        struct message *message = &user->messages[user->count++];
        message->octets = octets;
        parse_digest(hex, message->digest, path);
    }
    if (fields != EOF) die("%s: a line is not \"user number octets sha256\"", path);
    fclose(file);
    for (size_t i = 0; i < users->count; i++)
        if (users->list[i].count)
            qsort(users->list[i].messages, users->list[i].count, sizeof(struct message), by_digest);
}

struct user *users_take(struct users *users)
{
    for (size_t tried = 0; tried < users->count; tried++) {
        struct user *user = &users->list[users->next];
        users->next = (users->next + 1) % users->count;
        if (!user->busy) {
            user->busy = true;
            return user;
        }
    }
    return NULL;
}

long user_find(const struct user *user, const uint8_t *digest)
{
    size_t low = 0, high = user->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(user->messages[middle].digest, digest, DIGEST_SIZE) < 0) low = middle + 1;
        else high = middle;
    }
    if (low < user->count && !memcmp(user->messages[low].digest, digest, DIGEST_SIZE)) return (long)low;
    return -1;
}
