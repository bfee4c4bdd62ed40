"""What every section of the bench uses: rows, the server and the static floor under measurement, and what /proc knows of them."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOLS = os.path.join(ROOT, '..', 'shared', 'tools')
sys.path.insert(0, TOOLS)
TARGET = os.environ.get('CARGO_TARGET_DIR', os.path.join(ROOT, 'target'))
PRECINCT = os.path.join(TARGET, 'release', 'precinct')
FLOOR = os.path.join(TARGET, 'release', 'examples', 'static_floor')
ROWS = []


def row(what, target, floor, measured, ratio):
    ROWS.append((what, target, floor, measured, ratio))
    print('{:62} | {:>16} | {:>20} | {:>24} | {}'.format(what, target, floor, measured, ratio), flush=True)


def status(pid, key):
    with open(f'/proc/{pid}/status') as f:
        return int(re.search(rf'^{key}:\s+(\d+)', f.read(), re.M)[1]) / 1024


def cpu(pid):
    """CPU seconds of a process so far, from the scheduler's nanoseconds: clock ticks of 10 ms are too coarse for short loads."""
    total = 0
    for task in os.listdir(f'/proc/{pid}/task'):
        with contextlib.suppress(FileNotFoundError), open(f'/proc/{pid}/task/{task}/schedstat') as f:
            total += int(f.read().split()[0])
    return total / 1e9


def with_children(pids):
    """Processes and their children: nginx works in a child."""
    return pids + subprocess.run(['pgrep', '-P', ','.join(pids)], capture_output=True, text=True, check=False).stdout.split()


class Server:
    """`precinct serve` on free ports of `host` with a data directory; as a context manager. `before` is put before the command."""

    def __init__(self, data, *options, host='127.0.0.1', before=()):
        self.command = [*before, PRECINCT, 'serve', '--data', data, '--http', f'{host}:0', '--dicom', '127.0.0.1:0', *options]

    def __enter__(self):
        start = time.perf_counter()
        env = dict(os.environ, PRECINCT_LOG='warn')
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
        line = self.process.stdout.readline()
        self.ready_ms = (time.perf_counter() - start) * 1e3
        self.http = re.search(r'http=(\S+)', line)[1]
        self.dicom = re.search(r'dicom=(\S+)', line)[1]
        self.base = 'http://' + self.http
        self.pid = self.process.pid
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(40)


class StaticFloor:
    """The example `static_floor` in front of a server: it answers with the same bytes from memory; as a context manager."""

    def __init__(self, server, host='127.0.0.1', before=()):
        self.http = f'{host}:{free_port()}'
        self.base = 'http://' + self.http
        self.command = [*before, FLOOR, self.http, server.base]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read()


def imported(work, *files):
    data = tempfile.mkdtemp(dir=work)
    subprocess.run([PRECINCT, 'import', '--data', data, *files], check=True, stdout=subprocess.DEVNULL)
    return data


def measured_run(command):
    """Wall seconds, CPU seconds and peak MB of one command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def synthetic(path, size, components, precinct, block):
    subprocess.run([sys.executable, os.path.join(ROOT, 'bench', 'synthetic.py'), path, '--size', size, '--components', str(components),
                    '--precinct', str(precinct), '--block-bytes', str(block)], check=True)
