/*
 * One POP3 session: the script, the replies, the checks.
 *
 * What arrives is read into one buffer that all sessions share, and consumed at once: a session keeps only an
 * unfinished line, or the last octets of a message.
 */
#define _GNU_SOURCE
#include "popbench.h"

#include <errno.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char arrived[BODY_CONTEXT + 256 * 1024];

/* ---- the ends of a session ---- */

static void end(struct session *session)
{
    stream_close(&session->stream);
    if (session->user) session->user->busy = false;
    session->active = false;
}

static void fail(struct session *session, enum fault kind, const char *detail)
{
    report_fault(kind, session->user ? session->user->name : "-", detail);
    end(session);
}

/* A fault after which the session can go on. */
static void note(const struct session *session, enum fault kind, const char *format, ...)
{
    char detail[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    report_fault(kind, session->user->name, detail);
}

void session_expire(struct session *session)
{
    static const char *const waiting_for[] = { "the greeting", "USER", "PASS", "STAT", "UIDL", "LIST", "RETR",
                                               "nothing", "QUIT", "the end after QUIT" };
    fail(session, FAULT_TIMEOUT, waiting_for[session->step]);
}

/* ---- the script ---- */

static void command(struct session *session, enum step step, const char *format, ...)
{
    char text[LINE_LIMIT];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    session->step = step;
    session->sent = now_ns();
    if (stream_write(&session->stream, text, (size_t)length) == PROGRESS_FAILED)
        fail(session, FAULT_BROKEN, stream_error(&session->stream));
}

static bool measured(const struct session *session, uint64_t now)
{
    return now >= session->plan->from && now <= session->plan->until;
}

static void latency(const struct session *session, enum latency kind, uint64_t since)
{
    uint64_t now = now_ns();
    if (measured(session, now)) report_latency(kind, now - since);
}

void session_quit(struct session *session)
{
    command(session, STEP_QUIT, "QUIT\r\n");
}

static void retrieve_next(struct session *session)
{
    if (session->message == session->count) session_quit(session);
    else command(session, STEP_RETR, "RETR %zu\r\n", session->message + 1);
}

static void greeted(struct session *session)
{
    latency(session, LATENCY_GREETING, session->opened);
    if (session->user) command(session, STEP_USER, "USER %s\r\n", session->user->name);
    else session->step = STEP_HELD;
}

static void logged_in(struct session *session)
{
    latency(session, LATENCY_LOGIN, session->sent);
    if (session->plan->scenario == SCENARIO_HOLD_LOGGED_IN) session->step = STEP_HELD;
    else command(session, STEP_STAT, "STAT\r\n");
}

static void counted(struct session *session, const char *line)
{
    char rest;
    int fields = sscanf(line, "+OK %zu %lu%c", &session->count, &session->octets, &rest);
    if (fields < 2 || (fields == 3 && rest != ' ')) {
        fail(session, FAULT_PROTOCOL, line);
        return;
    }
    latency(session, LATENCY_STAT, session->opened);
    if (session->plan->scenario == SCENARIO_FETCH) command(session, STEP_LIST, "LIST\r\n");
    else if (session->plan->scenario == SCENARIO_POLL || session->plan->uidl) command(session, STEP_UIDL, "UIDL\r\n");
    else session_quit(session);
}

static void quit(struct session *session)
{
    uint64_t now = now_ns();
    session->step = STEP_CLOSE;
    session->plan->report->sessions_all++;
    if (!measured(session, now)) return;
    session->plan->report->sessions++;
    report_latency(LATENCY_SESSION, now - session->opened);
}

static void status_line(struct session *session, const char *line)
{
    static const enum fault refused[] = { [STEP_GREETING] = FAULT_GREETING, [STEP_USER] = FAULT_LOGIN,
                                          [STEP_PASS] = FAULT_LOGIN, [STEP_QUIT] = FAULT_REPLY };
    if (strncmp(line, "+OK", 3) || (line[3] && line[3] != ' ')) {
        bool known = session->step < sizeof refused / sizeof *refused && refused[session->step];
        bool error = !strncmp(line, "-ERR", 4);
        fail(session, !error ? FAULT_PROTOCOL : known ? refused[session->step] : FAULT_REPLY, line);
        return;
    }
    switch (session->step) {
    case STEP_GREETING:
        greeted(session);
        break;
    case STEP_USER:
        command(session, STEP_PASS, "PASS %s\r\n", session->user->password);
        break;
    case STEP_PASS:
        logged_in(session);
        break;
    case STEP_STAT:
        counted(session, line);
        break;
    case STEP_UIDL:
    case STEP_LIST:
        session->listing = true;
        session->listed = session->listed_octets = 0;
        break;
    case STEP_RETR:
        session->in_body = true;
        body_begin(&session->body, session->plan->verify);
        break;
    case STEP_QUIT:
        quit(session);
        break;
    case STEP_HELD:
    case STEP_CLOSE:
        break;      /* consume() lets nothing through to here */
    }
}

/* ---- listings ---- */

static void listed(struct session *session)
{
    session->listing = false;
    if (session->listed != session->count)
        note(session, FAULT_COUNT, "%zu lines in a listing of %zu messages", session->listed, session->count);
    if (session->step == STEP_UIDL) {
        latency(session, LATENCY_UIDL, session->opened);
        session_quit(session);
        return;
    }
    if (session->listed_octets != session->octets)
        note(session, FAULT_COUNT, "LIST adds up to %lu, STAT says %lu", session->listed_octets, session->octets);
    session->message = 0;
    if (session->plan->verify) {
        session->seen = grow(session->seen, session->user->count, &session->seen_capacity, sizeof(bool));
        memset(session->seen, 0, session->user->count * sizeof(bool));
    }
    retrieve_next(session);
}

static uint64_t number(const char **at)
{
    uint64_t value = 0;
    while (**at >= '0' && **at <= '9') value = 10 * value + (uint64_t)(*(*at)++ - '0');
    return value;
}

static void listing_line(struct session *session, const char *line)
{
    const char *at = line;
    if (!strcmp(line, ".")) {
        listed(session);
        return;
    }
    if (number(&at) != session->listed + 1 || *at++ != ' ' || !*at) {
        fail(session, FAULT_PROTOCOL, line);
        return;
    }
    session->listed++;
    if (session->step == STEP_UIDL) return;
    session->sizes = grow(session->sizes, session->listed, &session->sizes_capacity, sizeof *session->sizes);
    session->sizes[session->listed - 1] = number(&at);
    session->listed_octets += session->sizes[session->listed - 1];
    if (*at && *at != ' ') fail(session, FAULT_PROTOCOL, line);
}

/* ---- messages ---- */

static void verify(struct session *session)
{
    struct user *user = session->user;
    uint8_t digest[DIGEST_SIZE];
    body_digest(&session->body, digest);
    long first = user_find(user, digest);
    for (long i = first; i >= 0 && (size_t)i < user->count; i++) {
        if (memcmp(user->messages[i].digest, digest, DIGEST_SIZE)) break;
        if (session->seen[i]) continue;     /* an identical message has been sent before */
        session->seen[i] = true;
        return;
    }
    note(session, FAULT_HASH, "RETR %zu: %s", session->message + 1,
         first < 0 ? "not a message of this user" : "a message that was sent before");
}

static void retrieved(struct session *session)
{
    uint64_t octets = body_octets(&session->body), said = 0;
    session->in_body = false;
    latency(session, LATENCY_RETR, session->sent);
    if (session->message < session->listed) said = session->sizes[session->message];
    if (octets != said)
        note(session, FAULT_OCTETS, "RETR %zu sent %lu octets, LIST said %lu", session->message + 1, octets, said);
    if (session->plan->verify) verify(session);
    if (measured(session, now_ns())) {
        session->plan->report->messages++;
        session->plan->report->octets += octets;
    }
    session->message++;
    retrieve_next(session);
}

/* ---- what arrives ---- */

/* One line, or as much of it as there is; returns the octets used. */
static size_t consume_line(struct session *session, const char *data, size_t length)
{
    const char *newline = memchr(data, '\n', length);
    size_t used = newline ? (size_t)(newline - data) + 1 : length;
    if (session->line_length + used > sizeof session->line) {
        fail(session, FAULT_PROTOCOL, "a line of more than 512 octets");
        return length;
    }
    memcpy(session->line + session->line_length, data, used);
    session->line_length += used;
    if (!newline) return used;
    size_t text = session->line_length - 2;
    if (session->line_length < 2 || session->line[text] != '\r') {
        fail(session, FAULT_PROTOCOL, "a line that ends in LF alone");
        return length;
    }
    session->line[text] = 0;
    session->line_length = 0;
    if (session->listing) listing_line(session, session->line);
    else status_line(session, session->line);
    return used;
}

static void consume(struct session *session, char *data, size_t length)
{
    while (length && session->active) {
        size_t used;
        bool complete, idle = session->step == STEP_HELD || session->step == STEP_CLOSE;
        if (idle) {
            fail(session, FAULT_EXTRA, "octets that nobody asked for");
            return;
        }
        if (session->in_body) {
            used = body_feed(&session->body, data, length, &complete);
            if (complete) retrieved(session);
        } else {
            used = consume_line(session, data, length);
        }
        data += used;
        length -= used;
    }
}

static void describe_tls(const struct stream *stream, char *text, size_t size)
{
    X509 *certificate = SSL_get1_peer_certificate(stream->ssl);
    EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate) : NULL;
    snprintf(text, size, "%s %s %s-%d", SSL_get_version(stream->ssl), SSL_get_cipher_name(stream->ssl),
             key ? EVP_PKEY_get0_type_name(key) : "?", key ? EVP_PKEY_get_bits(key) : 0);
    X509_free(certificate);
}

/* False: not connected yet, or no more. */
static bool connect_further(struct session *session)
{
    enum progress progress = stream_connect(&session->stream);
    struct report *report = session->plan->report;
    if (progress == PROGRESS_WAIT) return false;
    if (progress != PROGRESS_DONE) {
        fail(session, session->stream.ssl && errno != ECONNREFUSED ? FAULT_TLS : FAULT_CONNECT,
             stream_error(&session->stream));
        return false;
    }
    if (session->stream.ssl && !*report->tls) describe_tls(&session->stream, report->tls, sizeof report->tls);
    return true;
}

static void broken(struct session *session, enum progress progress)
{
    if (session->step == STEP_CLOSE) end(session);
    else if (session->step == STEP_HELD) fail(session, FAULT_DROPPED, "while it was held");
    else fail(session, session->step == STEP_GREETING ? FAULT_CONNECT : FAULT_BROKEN,
              progress == PROGRESS_END ? "end of file" : stream_error(&session->stream));
}

void session_event(struct session *session)
{
    const size_t room = sizeof arrived - BODY_CONTEXT;
    struct stream *stream = &session->stream;
    size_t got;
    session->progress = now_ns();
    if (!stream->connected && !connect_further(session)) return;
    if (stream->pending_length && stream_flush(stream) == PROGRESS_FAILED) {
        fail(session, FAULT_BROKEN, stream_error(stream));
        return;
    }
    do {
        enum progress progress = stream_read(stream, arrived + BODY_CONTEXT, room, &got);
        if (progress == PROGRESS_WAIT) return;
        if (progress != PROGRESS_DONE) {
            broken(session, progress);
            return;
        }
        consume(session, arrived + BODY_CONTEXT, got);
    } while (session->active && got == room);   /* else the rest is still in the socket, which epoll reports */
}

void session_start(struct session *session, const struct plan *plan, struct user *user, int port, SSL_CTX *tls)
{
    session->plan = plan;
    session->user = user;
    session->active = true;
    session->listing = session->in_body = false;
    session->step = STEP_GREETING;
    session->watched = 0;
    session->line_length = session->count = 0;
    session->opened = session->progress = now_ns();
    enum progress progress = stream_open(&session->stream, port, tls);
    if (progress != PROGRESS_DONE && progress != PROGRESS_WAIT)
        fail(session, FAULT_CONNECT, stream_error(&session->stream));
}
