"""The words of Muster's ports as strangers say them: protocol/handshake.proto, protocol/frame.h."""

import re
import struct
from pathlib import Path

MAGIC = b"MUSTER\r\n"
PREFACE = MAGIC + struct.pack("<HHI", 1, 1, 0)
# The first bytes of a TLS ClientHello: a record of 512 bytes that never comes whole.
TLS_RECORD = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

LIVE, BULK, CONTROL = 1, 2, 3


def varint(number):
    text = b""
    while True:
        byte, number = number & 127, number >> 7
        text += bytes([byte | (128 if number else 0)])
        if not number:
            return text


def field(number, value):
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def message(kind, payload):
    """One of the handshake."""
    return struct.pack("<HB", len(payload), kind) + payload


def hello(run=b"run-1", has_token=1, role=LIVE, writer=b"node-0"):
    return message(1, field(1, run) + field(2, writer) + field(3, b"host") + field(5, 7) +
                   field(6, role) + field(7, b"muster") + field(8, b"c" * 32) + field(9, has_token))


def memory_of(pid):
    """Resident bytes without pages of files: what the process itself took."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"RssAnon:\s+(\d+) kB", text)[1]) << 10


def say(peer, words):
    """Whatever becomes of it."""
    try:
        peer.sendall(words)
    except (BrokenPipeError, ConnectionResetError):
        pass


def heard_until_closed(peer):
    """Waits for the end that the other side makes; what it said."""
    said = b""
    try:
        while piece := peer.recv(4096):
            said += piece
    except ConnectionResetError:
        pass
    return said
