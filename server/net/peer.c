/*
 * peer.c - addresses and options of connected sockets.
 */
#include "server/net/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static void print(const struct sockaddr_storage *address, char out[64])
{
    char ip[INET6_ADDRSTRLEN] = "?";

    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

        inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip);
        snprintf(out, 64, "%s:%d", ip, ntohs(v4->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
            inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], ip, sizeof ip);
            snprintf(out, 64, "%s:%d", ip, ntohs(v6->sin6_port));
        } else {
            inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip);
            snprintf(out, 64, "[%s]:%d", ip, ntohs(v6->sin6_port));
        }
    } else {
        snprintf(out, 64, "?:0");
    }
}

void peer_addresses(int fd, char address[64], char local_address[64])
{
    struct sockaddr_storage peer = {0}, local = {0};
    socklen_t peer_size = sizeof peer, local_size = sizeof local;

    getpeername(fd, (struct sockaddr *)&peer, &peer_size);
    getsockname(fd, (struct sockaddr *)&local, &local_size);
    if (local.ss_family == AF_UNIX) {
        const struct sockaddr_un *path = (const struct sockaddr_un *)&local;

        snprintf(address, 64, "%.60s:0", path->sun_path);
        memcpy(local_address, address, 64);
        return;
    }
    print(&peer, address);
    print(&local, local_address);
}

void peer_options(int fd, int64_t keepalive_s)
{
    int on = 1, idle = (int)keepalive_s, interval = idle / 3 > 0 ? idle / 3 : 1, count = 3;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (keepalive_s <= 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

bool peer_is_local(int fd)
{
    struct sockaddr_storage peer = {0};
    socklen_t size = sizeof peer;

    if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0)
        return false;
    if (peer.ss_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)&peer)->sin_addr.s_addr) >> 24) == 127;
    if (peer.ss_family == AF_INET6) {
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)&peer)->sin6_addr;

        return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
    }
    return true;
}
