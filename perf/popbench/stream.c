/* A non-blocking connection to 127.0.0.1, in the clear or over TLS. */
#define _GNU_SOURCE
#include "popbench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum progress stream_open(struct stream *stream, int port, SSL_CTX *tls)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int on = 1;
    *stream = (struct stream){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) };
    if (stream->fd < 0) return PROGRESS_FAILED;
    setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (tls) {
        stream->ssl = SSL_new(tls);
        if (!stream->ssl || !SSL_set_fd(stream->ssl, stream->fd)) die("cannot make a TLS connection");
        SSL_set_connect_state(stream->ssl);
    }
    if (connect(stream->fd, (struct sockaddr *)&address, sizeof address) == 0) return stream_connect(stream);
    if (errno != EINPROGRESS) return PROGRESS_FAILED;
    stream->want_write = true;
    return PROGRESS_WAIT;
}

/* What an OpenSSL call that did not succeed means; notes which event it waits for. */
static enum progress tls_progress(struct stream *stream, int result)
{
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return PROGRESS_WAIT;
    case SSL_ERROR_WANT_WRITE:
        stream->want_write = true;
        return PROGRESS_WAIT;
    case SSL_ERROR_ZERO_RETURN:
        return PROGRESS_END;
    default:
        return PROGRESS_FAILED;
    }
}

enum progress stream_connect(struct stream *stream)
{
    int error = 0;
    socklen_t length = sizeof error;
    stream->want_write = false;
    getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) {
        errno = error;
        return PROGRESS_FAILED;
    }
    if (stream->ssl) {
        ERR_clear_error();
        int result = SSL_do_handshake(stream->ssl);
        if (result != 1) return tls_progress(stream, result);
    }
    stream->connected = true;
    return PROGRESS_DONE;
}

/* PROGRESS_DONE with at least one octet, PROGRESS_WAIT when nothing has arrived. */
enum progress stream_read(struct stream *stream, char *buffer, size_t size, size_t *got)
{
    *got = 0;
    if (stream->ssl) {
        /* As many records as fit: one record is 16 kB, the caller's buffer far more. */
        enum progress progress = PROGRESS_DONE;
        while (*got < size) {
            size_t part;
            ERR_clear_error();
            int result = SSL_read_ex(stream->ssl, buffer + *got, size - *got, &part);
            if (result != 1) {
                progress = tls_progress(stream, result);
                break;
            }
            *got += part;
        }
        return *got ? PROGRESS_DONE : progress;
    }
    ssize_t count = recv(stream->fd, buffer, size, 0);
    if (count > 0) *got = (size_t)count;
    if (count > 0) return PROGRESS_DONE;
    if (count == 0) return PROGRESS_END;
    return errno == EAGAIN || errno == EINTR ? PROGRESS_WAIT : PROGRESS_FAILED;
}

static ssize_t write_once(struct stream *stream, const char *data, size_t length, enum progress *progress)
{
    if (stream->ssl) {
        size_t written;
        ERR_clear_error();
        int result = SSL_write_ex(stream->ssl, data, length, &written);
        if (result == 1) return (ssize_t)written;
        *progress = tls_progress(stream, result);
        return -1;
    }
    ssize_t count = send(stream->fd, data, length, MSG_NOSIGNAL);
    if (count >= 0) return count;
    *progress = errno == EAGAIN || errno == EINTR ? PROGRESS_WAIT : PROGRESS_FAILED;
    if (*progress == PROGRESS_WAIT) stream->want_write = true;
    return -1;
}

enum progress stream_flush(struct stream *stream)
{
    enum progress progress = PROGRESS_DONE;
    stream->want_write = false;
    while (stream->pending_length) {
        ssize_t count = write_once(stream, stream->pending, stream->pending_length, &progress);
        if (count < 0) return progress;
        stream->pending_length -= (size_t)count;
        memmove(stream->pending, stream->pending + count, stream->pending_length);
    }
    return PROGRESS_DONE;
}

enum progress stream_write(struct stream *stream, const char *data, size_t length)
{
    if (length > sizeof stream->pending - stream->pending_length) die("a command of %zu octets", length);
    memcpy(stream->pending + stream->pending_length, data, length);
    stream->pending_length += length;
    return stream_flush(stream);
}

void stream_close(struct stream *stream)
{
    if (stream->ssl) SSL_free(stream->ssl);
    if (stream->fd >= 0) close(stream->fd);
    *stream = (struct stream){ .fd = -1 };
}

const char *stream_error(const struct stream *stream)
{
    unsigned long code = stream->ssl ? ERR_peek_error() : 0;
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    return reason ? reason : strerror(errno);
}
