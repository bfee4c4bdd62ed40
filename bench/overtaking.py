"""How soon a newer request of a channel ends the response to the older one, by each transport and for each kind of reader."""
import contextlib
import http.client
import os
import select
import socket
import time

LONGEST = 30


class Http:
    """The older response on a connection of its own, in HTTP chunks."""

    def __init__(self, address, _opened):
        self.socket, self.tail = socket.create_connection(address), b''

    def ask(self, address, path):
        self.socket.sendall(f'GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n'.encode())

    def take(self, most):
        """Reads some bytes; their number, and whether the response has ended."""
        data = self.socket.recv(most)
        self.tail = (self.tail + data)[-5:]
        return len(data), self.tail == b'0\r\n\r\n' or not data


class Aside:
    """The older response beside HTTP."""

    def ask(self, address, path):
        connection = http.client.HTTPConnection(*address)
        connection.request('GET', path)
        answer = connection.getresponse()
        assert answer.status == 200, answer.status
        answer.read()
        connection.close()


class HttpTcp(Aside):
    """The chunks of one connection, each acknowledged once it is whole."""

    def __init__(self, address, opened):
        self.socket, self.got = socket.create_connection((address[0], int(opened['auxport']))), b''
        self.socket.sendall(opened['cid'].encode() + b'\r\n')

    def take(self, most):
        data, ended = self.socket.recv(most), False
        self.got += data
        while len(self.got) >= 8 and len(self.got) >= (size := int.from_bytes(self.got[:2], 'big')):
            chunk, self.got = self.got[:size], self.got[size:]
            self.socket.sendall(chunk[:8])
            ended = chunk[-3] == chunk[-1] == 0 and 1 <= chunk[-2] <= 7
        return len(data), ended


class HttpUdp(Aside):
    """Datagrams, each acknowledged."""

    def __init__(self, address, opened):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((address[0], int(opened['auxport'])))
        self.socket.send(opened['cid'].encode())
        self.qid, self.last, self.seen = 1, None, set()

    def ask(self, address, path):
        self.qid, self.last, self.seen = 2, None, set()
        super().ask(address, path + '&qid=2')

    def take(self, _most):
        data = self.socket.recv(2048)
        if data[0] & 0x80:   # a probe, which is sent back
            self.socket.send(data)
            return 0, False
        self.socket.send(data[:8])
        if int.from_bytes(data[2:4], 'big') == self.qid:
            number = int.from_bytes(data[4:7], 'big')
            self.last = number if data[0] & 0x10 else self.last
            self.seen.add(number)
        return len(data), self.last is not None and len(self.seen) > self.last


TRANSPORTS = {'http': Http, 'http-tcp': HttpTcp, 'http-udp': HttpUdp}


def overtaken(server, target, size, transport, speed):
    """Milliseconds from a newer request to the end of the older response, and the bytes of it that came in that time.

    The reader takes `speed` bytes a second; with 0 it takes nothing, until the buffers are full and the newer request is sent, and
    then all that comes.
    """
    host, port = server.http.split(':')
    address = host, int(port)
    opening = http.client.HTTPConnection(*address)
    opening.request('GET', f'/jpip?target={target}&cnew={transport}&len=0&qid=1')
    answer = opening.getresponse()
    answer.read()
    opened = dict(part.split('=', 1) for part in answer.getheader('JPIP-cnew').split(','))
    older = TRANSPORTS[transport](address, opened)
    older.socket.settimeout(LONGEST)
    if transport != 'http':
        while not older.take(1 << 16)[1]:
            pass
    path = f"/jpip?cid={opened['cid']}"
    older.ask(address, f'{path}&fsiz={size},{size}')
    begun, got, ended = time.perf_counter(), 0, False

    def take():
        if speed and (ahead := got / speed - (time.perf_counter() - begun)) > 0:
            time.sleep(ahead)
        return older.take(min(speed // 100, 1 << 16) if speed else 1 << 20)

    while (left := begun + 1 - time.perf_counter()) > 0:
        # The first datagrams are the way to the address being proved.
        if not speed and got > 64:
            time.sleep(left)
        elif select.select([older.socket], [], [], left)[0]:
            size_now, ended = take()
            assert not ended, 'the older response is too short'
            got += size_now
    newer, before = socket.create_connection(address), got
    start = time.perf_counter()
    newer.sendall(f'GET {path}&fsiz=64,64&wait=no HTTP/1.1\r\nHost: localhost\r\n\r\n'.encode())
    # What is taken before the server has read that is the older response's own time.
    while not ended and time.perf_counter() < start + LONGEST:
        size_now, ended = take()
        got += size_now
    took = (time.perf_counter() - start) * 1e3
    assert ended, f'{transport}: the older response does not end'
    for end in (newer, older.socket):
        with contextlib.suppress(OSError):
            end.close()
    return took, got - before


if __name__ == '__main__':
    import sys
    import tempfile
    from harness import Server, imported
    with tempfile.TemporaryDirectory() as work, Server(imported(work, sys.argv[1])) as server:
        for transport in TRANSPORTS:
            for speed in (0, 2_000_000):
                print(transport, speed, overtaken(server, os.path.basename(sys.argv[1]), int(sys.argv[2]), transport, speed))
