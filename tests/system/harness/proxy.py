"""proxy.py - stands between a client and a server on loopback, and slows, holds, alters or cuts what passes.

    with Proxy(primary.port) as proxy:
        proxy.rate = 4000000                  # bytes a second
        follow(replica, proxy.port)
"""
import socket
import threading
import time


class Proxy:
    """
    Limits are in bytes of one link, and may be set while it is used. What the server says:
        rate        so many bytes a second; 0: any
        alter_at    one bit of this byte is changed, once
        cut_after   the link is cut before more, once
        mute        it is read and thrown away
    What the client says:
        hold_after  so many bytes are passed on, the rest waits
    shut: both directions wait. passed and given: bytes that came from the server and that went to it, over all links.
    """

    def __init__(self, port):
        self.target, self.links, self.passed, self.given = port, 0, 0, 0
        self.rate, self.alter_at, self.cut_after, self.hold_after = 0, None, None, None
        self.mute = self.shut = self.closed = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open, self.lock = [], threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=10)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            with self.lock:
                self.open += [near, far]
                self.links += 1
            for ends, filtered in (((near, far), self.from_client), ((far, near), self.from_server)):
                threading.Thread(target=self.carry, args=(*ends, filtered), daemon=True).start()

    def carry(self, source, sink, filtered):
        """filtered(bytes so far, data, sink) gives what is (still) to be passed on; None: the link ends."""
        so_far = 0
        try:
            while data := source.recv(65536):
                while self.shut and not self.closed:
                    time.sleep(0.02)
                if (out := filtered(so_far, bytearray(data), sink)) is None:
                    break
                so_far += len(data)
                sink.sendall(out)
        except OSError:
            pass
        self.end(source, sink)

    def from_client(self, so_far, data, sink):
        if self.hold_after is not None and so_far + len(data) > self.hold_after:
            first = max(0, self.hold_after - so_far)
            sink.sendall(data[:first])
            self.given += first
            data = data[first:]
            while self.hold_after is not None and not self.closed:
                time.sleep(0.02)
        self.given += len(data)
        return None if self.closed else data

    def from_server(self, so_far, data, _sink):
        if self.alter_at is not None and so_far + len(data) > self.alter_at:
            data[max(0, self.alter_at - so_far)] ^= 0x40
            self.alter_at = None
        if self.cut_after is not None and so_far + len(data) > self.cut_after:
            self.cut_after = None
            return None
        if self.rate:
            time.sleep(len(data) / self.rate)
        self.passed += len(data)
        return b"" if self.mute else data

    def end(self, *sockets):
        for s in sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """Ends the links there are. New ones are accepted."""
        with self.lock:
            self.end(*self.open)

    def close(self):
        """Nothing passes from here on, and nobody is accepted."""
        self.closed = True
        self.end(self.listener)
        self.cut()
        with self.lock:
            for s in [self.listener] + self.open:
                s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
