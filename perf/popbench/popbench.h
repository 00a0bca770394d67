/*
 * popbench: a POP3 load generator that checks what it is sent.
 *
 * One process, one thread, one epoll loop. Each client does in lockstep what a mail program does: one command,
 * its whole reply, the next command. It speaks to 127.0.0.1 only, and always ends: after --sessions or
 * --seconds, plus what the sessions in progress need (at most --timeout each).
 *
 *   main.c     options, the loop, which client is served when
 *   session.c  one POP3 session: the script, the replies, the checks
 *   body.c     a message that is arriving: its end, its stuffed dots, its digest
 *   stream.c   a non-blocking connection, in the clear or over TLS
 *   users.c    who may log in, and what their messages must hash to
 *   report.c   errors and latencies, and the JSON object that is printed at the end
 */
#ifndef POPBENCH_H
#define POPBENCH_H

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_LIMIT 512  /* RFC 2449, section 4: a response line has at most 512 octets, CRLF included */
#define DIGEST_SIZE 32  /* SHA-256 */

/* ---- report.c ---- */

enum fault {
    FAULT_CONNECT,      /* refused, or broken before the greeting */
    FAULT_TLS,          /* the handshake failed */
    FAULT_GREETING,     /* not +OK */
    FAULT_LOGIN,        /* -ERR to USER or PASS */
    FAULT_REPLY,        /* -ERR to anything else */
    FAULT_PROTOCOL,     /* no POP3 reply, a malformed or misnumbered listing */
    FAULT_EXTRA,        /* octets that nobody asked for */
    FAULT_BROKEN,       /* end of file or an error in the middle of a session */
    FAULT_TIMEOUT,      /* no progress for --timeout seconds */
    FAULT_COUNT,        /* LIST or UIDL disagree with STAT */
    FAULT_OCTETS,       /* RETR sent another number of octets than LIST said */
    FAULT_HASH,         /* with --manifest: not a message that this user has, or one twice */
    FAULT_DROPPED,      /* a held connection was closed by the server */
    FAULT_KINDS
};

enum latency {
    LATENCY_GREETING,   /* connect() to the greeting's end, the TLS handshake included */
    LATENCY_LOGIN,      /* PASS sent to its reply */
    LATENCY_STAT,       /* connect() to the end of STAT's reply */
    LATENCY_UIDL,       /* connect() to the end of UIDL's reply */
    LATENCY_RETR,       /* RETR sent to the end of its reply */
    LATENCY_SESSION,    /* connect() to the reply to QUIT */
    LATENCY_KINDS
};

struct report {
    uint64_t sessions, messages, octets;    /* completed inside the measured time */
    uint64_t sessions_all;                  /* completed at any time: divide the server's CPU time by this */
    double seconds;                         /* the measured time */
    char tls[96];                           /* protocol, cipher and key type of the last handshake */
};

uint64_t now_ns(void);
void report_fault(enum fault kind, const char *user, const char *detail);
uint64_t report_faults(void);
void report_latency(enum latency kind, uint64_t nanoseconds);
void report_print(const struct report *report, bool json);
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *grow(void *array, size_t wanted, size_t *capacity, size_t element);

/* ---- users.c ---- */

struct message {
    uint8_t digest[DIGEST_SIZE];
    uint64_t octets;
};

struct user {
    char *name, *password;
    struct message *messages;   /* from the manifest, sorted by digest */
    size_t count, capacity;
    bool busy;                  /* a session of this run holds the maildrop */
};

struct users {
    struct user *list;
    size_t count, capacity, next;
};

void users_load(struct users *users, const char *path);
void users_load_manifest(struct users *users, const char *path);
struct user *users_take(struct users *users);           /* in turn; NULL when all are busy */
long user_find(const struct user *user, const uint8_t *digest);  /* index of the first such message, or -1 */

/* ---- stream.c ---- */

enum progress { PROGRESS_DONE, PROGRESS_WAIT, PROGRESS_END, PROGRESS_FAILED };

struct stream {
    int fd;
    SSL *ssl;
    bool connected;         /* connect() done, and the handshake if there is one */
    bool want_write;        /* wait until the socket can be written to */
    char pending[1024];     /* of a command: what the socket did not take yet */
    size_t pending_length;
};

enum progress stream_open(struct stream *stream, int port, SSL_CTX *tls);
enum progress stream_connect(struct stream *stream);    /* again after PROGRESS_WAIT */
enum progress stream_read(struct stream *stream, char *buffer, size_t size, size_t *got);
enum progress stream_write(struct stream *stream, const char *data, size_t length);
enum progress stream_flush(struct stream *stream);
void stream_close(struct stream *stream);
const char *stream_error(const struct stream *stream);

/* ---- body.c ---- */

#define BODY_CONTEXT 4      /* octets that body_feed() wants to be able to write in front of its data */

struct body {
    uint64_t octets;        /* as transmitted so far, the final line included */
    uint64_t stuffed;       /* dots that were doubled */
    char tail[BODY_CONTEXT];/* the last octets before those to come; at first a line end */
    size_t held;            /* verify: octets of the tail that are not hashed yet */
    EVP_MD_CTX *hash;       /* verify: of the octets without stuffing and final line; NULL: not wanted */
};

void body_begin(struct body *body, bool verify);
size_t body_feed(struct body *body, char *data, size_t length, bool *complete);    /* how much was the body's */
uint64_t body_octets(const struct body *body);      /* of the message */
void body_digest(struct body *body, uint8_t *digest);

/* ---- session.c ---- */

enum scenario { SCENARIO_POLL, SCENARIO_FETCH, SCENARIO_STAT, SCENARIO_HOLD_WAITING, SCENARIO_HOLD_LOGGED_IN };

enum step { STEP_GREETING, STEP_USER, STEP_PASS, STEP_STAT, STEP_UIDL, STEP_LIST, STEP_RETR, STEP_HELD,
            STEP_QUIT, STEP_CLOSE };

struct plan {               /* what all sessions of a run have in common */
    enum scenario scenario;
    bool uidl;              /* scenario stat: UIDL after STAT */
    bool verify;            /* a manifest was given */
    uint64_t from, until;   /* the measured time, in nanoseconds of CLOCK_MONOTONIC */
    struct report *report;
};

struct session {
    struct stream stream;
    const struct plan *plan;
    struct user *user;              /* NULL: does not log in */
    bool active, listing, in_body;  /* listing, in_body: inside a multi-line reply, after its +OK */
    enum step step;
    uint32_t watched;               /* main.c: what epoll waits for */
    uint64_t opened, sent, progress;
    char line[LINE_LIMIT];          /* a line whose end has not arrived */
    size_t line_length;
    size_t count, listed;           /* messages by STAT; lines of the listing so far */
    uint64_t octets, listed_octets;
    uint64_t *sizes;                /* by LIST */
    size_t sizes_capacity;
    size_t message;                 /* being fetched, from 0 */
    struct body body;
    bool *seen;                     /* verify: manifest entries already received */
    size_t seen_capacity;
};

void session_start(struct session *session, const struct plan *plan, struct user *user, int port, SSL_CTX *tls);
void session_event(struct session *session);    /* ends the session when it is over */
void session_quit(struct session *session);     /* a held one */
void session_expire(struct session *session);   /* no progress within the time-out */

#endif
