"""A reader of JPP-streams [15444-9 Annex A], written from the digest alone: messages, data-bins, end of response."""

from dataclasses import dataclass, field


class Broken(Exception):
    """The stream breaks the protocol."""


@dataclass
class Bin:
    data: bytearray = field(default_factory=bytearray)
    complete: bool = False


@dataclass
class Message:
    klass: int
    codestream: int
    number: int
    offset: int
    body: bytes
    complete: bool
    first: int  # the first byte of the header


def vbas(data, at):
    value = 0
    for i in range(at, at + 10):
        if i >= len(data):
            raise Broken("a number is cut off")
        value = value << 7 | data[i] & 0x7F
        if not data[i] & 0x80:
            return value, i + 1
    raise Broken("a number of more than ten bytes")


def messages(data):
    """The messages of one response and the reason of its end; the end must be the last thing in it."""
    at, klass, codestream = 0, 0, 0
    out = []
    while True:
        if at >= len(data):
            raise Broken("no end of response")
        if data[at] == 0:
            reason = data[at + 1]
            length, body = vbas(data, at + 2)
            if body + length != len(data):
                raise Broken("bytes behind the end of response")
            return out, reason
        first = data[at]
        form = first >> 5 & 3
        if form == 0:
            raise Broken("a message header of a prohibited form")
        if not out and form != 3:
            raise Broken("the first message does not carry class and codestream")
        number, last = first & 0x0F, first
        at += 1
        while last & 0x80:
            last = data[at]
            number = number << 7 | last & 0x7F
            at += 1
        if form >= 2:
            klass, at = vbas(data, at)
        if form == 3:
            codestream, at = vbas(data, at)
        offset, at = vbas(data, at)
        length, at = vbas(data, at)
        if klass & 1:
            _, at = vbas(data, at)
        if at + length > len(data):
            raise Broken("a message body is cut off")
        out.append(Message(klass, codestream, number, offset, data[at : at + length], bool(first & 0x10), first))
        at += length


def bins(parts, store=None):
    """Data-bins by (class, codestream, number). Offsets must go on where the bin ended: no gap, no overlap."""
    store = {} if store is None else store
    for m in parts:
        codestream = 0 if m.klass == 8 else m.codestream
        b = store.setdefault((m.klass & ~1 if m.klass < 6 else m.klass, codestream, m.number), Bin())
        if b.complete and m.body:
            raise Broken(f"bytes after the completion of {m.klass}/{m.codestream}/{m.number}")
        if m.offset != len(b.data):
            raise Broken(f"bin {m.klass}/{m.codestream}/{m.number} goes on at {m.offset}, held are {len(b.data)}")
        b.data += m.body
        b.complete = b.complete or m.complete
    return store
