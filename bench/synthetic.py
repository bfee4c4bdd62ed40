#!/usr/bin/env python3
"""Codestreams of any size with real headers and real packet headers; the code-block bytes are holes in a sparse file.

  synthetic.py OUT.j2k --size 65536x32768 --components 3 --precinct 256 --block-bytes 6800

One tile, RPCL, one layer, 5/3, five decompositions, 64x64 code-blocks, every precinct full: the size must be a multiple of
precinct * 2^levels. The tile-part has Psot=0, so that more than 4 GiB can follow. Prints packets and bytes.
"""
import argparse
import struct


class Bits:
    """Bit writer with the stuffing of packet headers [15444-1 B.10.1]."""

    def __init__(self):
        self.out, self.cur, self.left, self.limit = bytearray(), 0, 8, 8

    def put(self, value, count=1):
        for i in range(count - 1, -1, -1):
            self.cur = (self.cur << 1) | (value >> i & 1)
            self.left -= 1
            if not self.left:
                self.flush_byte()

    def flush_byte(self):
        self.out.append(self.cur)
        self.left = 7 if self.cur == 0xFF else 8
        self.cur = 0

    def done(self):
        full = 7 if self.out and self.out[-1] == 0xFF else 8
        if self.left != full:
            self.cur <<= self.left
            self.out.append(self.cur)
        if self.out and self.out[-1] == 0xFF:
            self.out.append(0)
        return bytes(self.out)


def packet_header(bands, across, block_bytes, passes=40):
    """Every code-block included at once, no missing bit-planes, one codeword segment each."""
    bits = Bits()
    bits.put(1)
    for _ in range(bands):
        seen = set()
        for y in range(across):
            for x in range(across):
                # Both tag trees hold zeros only: one bit for every node on the way that is not known yet.
                fresh, level, side = 0, 0, across
                while True:
                    if (level, x >> level, y >> level) not in seen:
                        seen.add((level, x >> level, y >> level))
                        fresh += 1
                    if side <= 1:
                        break
                    level, side = level + 1, (side + 1) // 2
                bits.put((1 << fresh) - 1, fresh)   # inclusion
                bits.put((1 << fresh) - 1, fresh)   # zero bit-planes
                bits.put(0x1FF, 9)
                bits.put(passes - 37, 7)
                width = 3 + passes.bit_length() - 1
                more = max(0, block_bytes.bit_length() - width)
                bits.put((1 << more) - 1, more)
                bits.put(0)
                bits.put(block_bytes, width + more)
    return bits.done()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('out')
    p.add_argument('--size', required=True)
    p.add_argument('--components', type=int, default=1)
    p.add_argument('--precinct', type=int, default=256)
    p.add_argument('--levels', type=int, default=5)
    p.add_argument('--block-bytes', type=int, default=5000)
    a = p.parse_args()
    width, height = map(int, a.size.split('x'))
    exp = a.precinct.bit_length() - 1
    assert width % (a.precinct << a.levels) == 0 and height % (a.precinct << a.levels) == 0
    siz = struct.pack('>HHIIIIIIIIH', 38 + 3 * a.components, 0, width, height, 0, 0, width, height, 0, 0, a.components)
    siz += bytes([15, 1, 1]) * a.components
    cod = struct.pack('>HBBHBBBBBB', 12 + a.levels + 1, 1, 2, 1, 0, a.levels, 4, 4, 0, 1) + bytes([exp << 4 | exp]) * (a.levels + 1)
    qcd = struct.pack('>HB', 3 + 3 * a.levels + 1, 2 << 5) + bytes([16 << 3]) * (3 * a.levels + 1)
    head = b'\xff\x4f\xff\x51' + siz + b'\xff\x52' + cod + b'\xff\x5c' + qcd
    head += b'\xff\x90' + struct.pack('>HHIBB', 10, 0, 0, 0, 1) + b'\xff\x93'
    blocks = max(1, a.precinct // 64), max(1, a.precinct // 128)
    low = packet_header(1, blocks[0], a.block_bytes), blocks[0] ** 2 * a.block_bytes
    high = packet_header(3, blocks[1], a.block_bytes), 3 * blocks[1] ** 2 * a.block_bytes
    at, packets = len(head), 0
    with open(a.out, 'wb') as f:
        f.write(head)
        for r in range(a.levels + 1):
            count = (width >> a.levels - r) // a.precinct * ((height >> a.levels - r) // a.precinct) * a.components
            header, body = low if r == 0 else high
            for _ in range(count):
                f.seek(at)
                f.write(header)
                at += len(header) + body
            packets += count
        f.seek(at)
        f.write(b'\xff\xd9')
    print(f'{a.out}: {packets} packets, {at + 2} bytes')


if __name__ == '__main__':
    main()
