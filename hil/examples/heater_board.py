"""A photonic board with 16 ports and 4 heaters that speaks pnnlink: a bench of one's own, in plain Python, from docs/pnnlink.md alone.

    python3 heater_board.py [PORT]      serves on 127.0.0.1 and prints where; without a port, on any that is free

Each output is |the sum of the inputs' fields|^2; a heater turns the phase of four inputs by pi times the square of its voltage.
"""
import cmath, math, random, socketserver, struct, sys, threading, time, zlib

PORTS, HEATERS, WINDOW, SCHEMA, CHANCE = 16, 4, 32, 0xF6446C4C, random.Random(7)
BANKS = [(b"light", PORTS, b"W", 1.0), (b"heater", HEATERS, b"V", 1.0), (b"detector", PORTS, b"V", 4.0)]
MIX = [[complex(CHANCE.gauss(0, 1), CHANCE.gauss(0, 1)) / math.sqrt(PORTS) for _ in range(PORTS)] for _ in range(PORTS)]
NO_SESSION, BUSY, VERSION, STOPPED, NOT_READY, OUT_OF_RANGE, INCOMPLETE, OUT_OF_ORDER, MALFORMED = 0, 1, 2, 3, 4, 5, 6, 7, 9

def varints(*numbers): return b"".join(bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varints(n >> 7) for n in numbers)
def text(b): return varints(len(b)) + b
def f32(*values): return struct.pack("<%df" % len(values), *values)

def fields(body, kinds):
    """A message's fields, and nothing behind them: v a varint, b bytes behind their length."""
    at, found = 0, []
    for kind in kinds:
        value = shift = 0
        while at == 0 or shift == 0 or body[at - 1] > 127:
            value, shift, at = value | (body[at] & 127) << shift, shift + 7, at + 1
        if kind == "b": value, at = body[at:at + value], at + value
        found.append(value)
    if at != len(body): raise ValueError("the message has another length")
    return found

def unstuff(frame):
    body, at = b"", 0
    while at < len(frame):
        at, run, whole = at + frame[at], frame[at + 1:at + frame[at]], frame[at] < 255
        body += run + (b"\0" if whole and at < len(frame) else b"")
    return body

def stuff(body):
    runs = [part[at:at + 254] for part in body.split(b"\0") for at in range(0, max(len(part), 1), 254)]
    return b"".join(bytes([len(run) + 1]) + run for run in runs) + b"\0"

class Board:
    def __init__(self):
        self.boot, self.born, self.lock = random.getrandbits(31), time.monotonic(), threading.Lock()
        self.session, self.stopped, self.trips, self.heard, self.watchdog, self.expected = 0, False, 0, 0.0, 1.0, 0
        self.end(0)

    def end(self, state, session=0):
        """The safe state: heaters off, nothing staged; and which session goes on."""
        self.heaters, self.staged, self.state, self.session = [0.0] * HEATERS, {}, state, session

    def shoot(self, light):
        waves = [math.sqrt(x) * cmath.exp(1j * math.pi * self.heaters[k % HEATERS] ** 2) for k, x in enumerate(light)]
        return f32(*(min(max(abs(sum(map(complex.__mul__, row, waves))) ** 2 + CHANCE.gauss(0, 0.005), 0.0), 4.0) for row in MIX))

    def watch(self):
        if self.session and time.monotonic() - self.heard > self.watchdog:
            self.trips += 1
            self.end(1)

    def refuse(self, reason): return b"\x08" + varints(reason, self.expected if self.session else 0)
    def uptime(self): return int(1e3 * (time.monotonic() - self.born))

    def answer(self, session, identifier, kind, body):
        ours = session == self.session
        if ours: self.heard = time.monotonic()
        if ours and kind != 5 and self.last[0] == identifier: return self.last[1]
        if kind == 7 and not ours: self.stopped = True
        if kind == 7 and not ours: self.end(1)
        if kind == 7 and not ours: return b"\x07"
        if kind and not ours: return self.refuse(BUSY if self.session else STOPPED if self.stopped else NO_SESSION)
        reply = self.hello(session, *fields(body, "vvvv")) if kind == 0 else self.obey(kind, body)
        if kind != 5: self.last = (identifier, reply)
        return reply

    def hello(self, session, version, schema, watchdog, replaces):
        if (version, schema) != (1, SCHEMA): return self.refuse(VERSION)
        if self.session not in (0, replaces): return self.refuse(BUSY)
        if self.stopped and replaces: return self.refuse(STOPPED)
        self.end(0, session)
        self.stopped, self.expected, self.shots, self.heard, self.watchdog = False, 0, {}, time.monotonic(), max(watchdog, 100) / 1e3
        numbers = varints(1, SCHEMA, self.boot, self.uptime(), int(1e3 * self.watchdog), 4096, WINDOW, len(BANKS), 1)
        return b"\0" + numbers + f32(0.0, 1e-4, 1e-4) + text(b"interferometer") + text(b"PY-16") + text(b"heater_board 1.0")

    def obey(self, kind, body):
        if kind == 1 and body[0] < len(BANKS):
            name, count, unit, high = BANKS[body[0]]
            return b"\x01" + varints(body[0], body[0]) + text(name) + varints(count) + text(unit) + f32(0.0, high) + b"\0"
        if kind == 2:
            first, values = fields(body, "vb")
            volts = struct.unpack("<%df" % (len(values) // 4), values)
            if first + len(volts) > HEATERS or not all(0.0 <= v <= 1.0 for v in volts): return self.refuse(OUT_OF_RANGE)
            self.staged.update(enumerate(volts, first))
            return b"\x02" + varints(first)
        if kind == 3 and len(self.staged) < HEATERS: return self.refuse(INCOMPLETE)
        if kind == 3:
            self.heaters, self.staged, self.state = [self.staged[k] for k in range(HEATERS)], {}, 2
            return b"\x03"
        if kind == 4:
            first, count = fields(body, "vv")
            return b"\x04" + varints(first) + text(f32(*self.heaters[first:first + count]))
        if kind == 5: return self.drive(*fields(body, "vvb"))
        if kind == 6: return b"\x06" + varints(self.boot, self.uptime(), self.state, self.expected, self.trips)
        if kind in (7, 8): return self.end(1, self.session if kind == 7 else 0) or b"\x07"
        return self.refuse(OUT_OF_RANGE if kind == 1 else MALFORMED)

    def drive(self, first, _batch, values):
        count, rest = divmod(len(values), 4 * PORTS)
        if self.state != 2: return self.refuse(NOT_READY)
        if count == 0 or rest: return self.refuse(MALFORMED)
        if first > self.expected or first + len(self.shots) < self.expected: return self.refuse(OUT_OF_ORDER)
        rows = list(struct.iter_unpack("<%df" % PORTS, values))
        if not all(0.0 <= x <= 1.0 for row in rows for x in row): return self.refuse(OUT_OF_RANGE)
        for number in range(self.expected, first + count):
            self.shots[number], self.expected = self.shoot(rows[number - first]), number + 1
            self.shots.pop(number - WINDOW, None)
        read = b"".join(self.shots[number] for number in range(first, first + count))
        return b"\x05" + varints(first, (first + 1) % 2**32) + b"\0" + text(read)

BOARD = Board()

class Wire(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.settimeout(0.05)
        got = rest = b""
        while got is not None:
            *frames, rest = (rest + got).split(b"\0")
            for body in map(unstuff, frames):
                if body[:1] != b"\x51" or len(body) < 14 or zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "little"): continue
                with BOARD.lock:
                    try: reply = BOARD.answer(*struct.unpack("<II", body[1:9]), body[9], body[10:-4])
                    except (ValueError, IndexError, struct.error): reply = BOARD.refuse(MALFORMED)
                reply = b"\x52" + body[1:9] + reply
                self.request.sendall(stuff(reply + zlib.crc32(reply).to_bytes(4, "little")))
            try: got = self.request.recv(65536) or None
            except TimeoutError: got = b""
            except OSError: return
            with BOARD.lock: BOARD.watch()

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

with Server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Wire) as server:
    print("tcp://127.0.0.1:%d" % server.server_address[1], flush=True)
    server.serve_forever()
