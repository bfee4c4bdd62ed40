#!/usr/bin/env python3
"""Speed and memory of Precinct, each figure beside a floor or a peer measured in the same run: target, floor, measured, ratio.

  bench/run.py [--only index,big,cold,tiny,load,core,peer,idle,store,jpip] [--keep DIR]

Needs release builds of `precinct` and of the example `static_floor`, the images of ../shared/tools/make_images.sh (made on first
use), wrk, for the peer OpenJPIP (Debian libopenjpip-server, spawn-fcgi, nginx-light), and for the slow link of `jpip` root and
/dev/net/tun. Nothing here is a test: it only prints.
"""
import argparse
import json
import os
import queue
import re
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from catalog import bench_catalog
from harness import PRECINCT, ROOT, TOOLS, Server, StaticFloor, cpu, get, imported, measured_run, row, status, synthetic, with_children
from jpip import bench_jpip


def bench_index(images, _work):
    for name in ('g16_4096_plt.jp2', 'g16_4096_u64_idx.jp2'):
        path = os.path.join(images, name)
        size = os.path.getsize(path) / 1e6
        floor = min(measured_run(['cat', path])[0] for _ in range(5))
        idle = min(measured_run([PRECINCT, '--version'])[1] for _ in range(5))
        seconds = max(1e-3, min(measured_run([PRECINCT, 'index', path])[1] for _ in range(5)) - idle)
        row(f'index {name} ({size:.1f} MB)', '500 MB/s/core', f'cat {size / floor:.0f} MB/s', f'{size / seconds:.0f} MB/s', f'{floor / seconds:.2f}')


def bench_big(images, work):
    path = os.path.join(images, 's10g.j2k')
    if not os.path.exists(path):
        synthetic(path, '65536x32768', 3, 256, 6800)
    seconds, used, peak = measured_run([PRECINCT, 'index', path])
    idle = measured_run([PRECINCT, '--version'])[2]
    row('index of a 10.7 GB file, peak memory', '64 MB', f'--version {idle:.0f} MB', f'{peak:.0f} MB, {seconds:.1f} s', f'{os.path.getsize(path) / 1e6 / used:.0f} MB/s of CPU')


def bench_cold(images, work):
    small = os.path.join(images, 's16384.j2k')
    if not os.path.exists(small):
        synthetic(small, '16384x16384', 1, 64, 700)
    for name, packets, target in (('s16384.j2k', 87_360, 3), ('rgb8_8192_t1024_idx.jp2', 294_912, 10)):
        data = imported(work, os.path.join(images, name))
        cold, warm, floor, grown, size = [], [], [], [], 0
        for _ in range(5):
            with Server(data) as server:
                get(server.base + '/healthz')
                before = status(server.pid, 'VmRSS')
                url = f'{server.base}/jpip?target={name}&type=jpp-stream&fsiz=128,128&roff=0,0&rsiz=128,128'
                for times, address in ((cold, url), (warm, url), (floor, server.base + '/healthz')):
                    start = time.perf_counter()
                    body = get(address)
                    times.append((time.perf_counter() - start) * 1e3)
                    size = size or len(body)
                grown.append(status(server.pid, 'VmRSS') - before)
        middle = lambda values: sorted(values)[len(values) // 2]
        row(f'cold thumbnail of {packets} packets ({size} bytes)', f'{target} ms', f'/healthz {middle(floor):.2f} ms', f'{middle(cold):.2f} ms', f'{middle(cold) / middle(floor):.1f}')
        row(f'  again', '1 ms', f'/healthz {middle(floor):.2f} ms', f'{middle(warm):.2f} ms', f'{middle(warm) / middle(floor):.1f}')
        row(f'  memory growth', '5 MB', '', f'{middle(grown):.1f} MB', '')


def bench_tiny(images, work):
    name = 'g16_4096_p64_idx.jp2'
    data = imported(work, os.path.join(images, name))
    with Server(data) as server:
        body = get(f'{server.base}/jpip?target={name}&type=jpp-stream&fsiz=128,128&roff=0,0&rsiz=128,128')
    row('thumbnail of 4096 tiny precincts, whole response', '72 KB', 'payload 50.6 KB', f'{len(body) / 1e3:.1f} KB', f'{len(body) / 50_600:.2f}')


def load(url, target, mode, clients, pids, requests=200):
    """One run of the load client against the server whose processes are `pids`, with CPU time a request in ms."""
    with tempfile.NamedTemporaryFile() as out:
        before = sum(map(cpu, pids))
        subprocess.run([sys.executable, os.path.join(TOOLS, 'jpip_bench.py'), '--url', url, '--target', target, '--size', '4096x4096', '--mode', mode,
                        '--clients', str(clients), '--requests', str(requests), '--pid', ','.join(map(str, pids)), '--json', out.name, '--max-seconds', '40'],
                       check=True, stdout=subprocess.DEVNULL)
        found = json.loads(out.read().decode().splitlines()[-1])
        found['cpu_s'] = sum(map(cpu, pids)) - before
        found['cpu_ms_per_req'] = found['cpu_s'] * 1e3 / max(1, found['ok'])
        return found


def bench_load(images, work):
    name = 'g16_4096_u64_idx.jp2'
    data = imported(work, os.path.join(images, name))
    with Server(data) as server, StaticFloor(server) as floor:
        for mode in ('stateless', 'session'):
            for clients in (1, 4, 16, 64):
                requests = 400 if clients < 64 else 60
                address = floor.base + '/jpip'
                load(address, name, mode, clients, [floor.pid], requests)
                # In turns, and the middle of three: the machine is not the same from one second to the next.
                runs = [(load(server.base + '/jpip', name, mode, clients, [server.pid], requests), load(address, name, mode, clients, [floor.pid], requests)) for _ in range(3)]
                ratios = sorted(o['cpu_ms_per_req'] / f['cpu_ms_per_req'] for o, f in runs)
                ours, static = sorted(runs, key=lambda run: run[0]['cpu_ms_per_req'])[1]
                problems = f" errors {ours['errors']}" if ours['errors'] else ''
                row(f"{mode}, {clients} clients, {ours['rps']:.0f} req/s, peak {ours['rss_peak_MB']:.0f} MB{problems}", 'CPU <= 2.5x',
                    f"{static['cpu_ms_per_req']:.3f} ms/window", f"{ours['cpu_ms_per_req']:.3f} ms/window", f"{ratios[1]:.2f} ({ratios[0]:.2f} to {ratios[2]:.2f})")
                row('  p99 against p50', '<= 20x at 64', f"p50 {ours['p50_ms']:.2f} ms", f"p99 {ours['p99_ms']:.2f} ms", f"{ours['p99_ms'] / ours['p50_ms']:.1f}")


def precinct_bytes(body):
    """The bytes of each precinct data-bin in a response: {id: {offset: byte}} in spans."""
    bins = {}
    for m in jpipmsg.parse(body):
        if m['kind'] in ('precinct', 'xprecinct'):
            bins.setdefault(m['id'], {})[m['off']] = body[m['body']:m['body'] + m['len']]
    return {i: b''.join(spans[o] for o in sorted(spans)) for i, spans in bins.items()}


def right_share(ours, theirs, name):
    """Share of the peer's bytes that are of precincts that the window needs, over the windows of one trace."""
    right = total = 0
    for v in jpip_bench.trace(4096, 4096, 30, 1000, 5):
        query = f'target={name}&type=jpp-stream&fsiz={v[0]},{v[1]}&roff={v[2]},{v[3]}&rsiz={v[4]},{v[5]}'
        body = get(f'{theirs}?{query}')
        wanted, sent = precinct_bytes(get(f'{ours}?{query}')), precinct_bytes(body)
        total += len(body)
        right += sum(len(data) for i, data in sent.items() if i in wanted and wanted[i].startswith(data))
    return right / max(total, 1)


def bench_peer(images, work, name):
    """OpenJPIP beside us: right bytes of the same trace per CPU second. It sends wrong precincts for nearly every region (peers.md)."""
    if not shutil.which('opj_server'):
        print('OpenJPIP is not installed (libopenjpip-server, spawn-fcgi, nginx-light): peer left out')
        return
    script = os.path.join(TOOLS, 'openjpip.sh')
    data = imported(work, os.path.join(images, name))
    peer_dir = tempfile.mkdtemp(dir=work)
    shutil.copy(os.path.join(images, name), peer_dir)
    with Server(data) as server:
        ours = load(server.base + '/jpip', name, 'session', 4, [server.pid])
        pids = subprocess.run(['bash', script, 'start', peer_dir, '8081'], check=True, capture_output=True, text=True).stdout.strip()
        try:
            theirs = load('http://127.0.0.1:8081/myFCGI', name, 'session', 4, with_children(pids.split(',')))
            share = right_share(server.base + '/jpip', 'http://127.0.0.1:8081/myFCGI', name)
        finally:
            subprocess.run(['bash', script, 'stop', peer_dir], check=False)
    mine, other = ours['MB'] / max(ours['cpu_s'], 0.01), share * theirs['MB'] / max(theirs['cpu_s'], 0.01)
    row(f'right bytes per CPU second beside OpenJPIP ({share:.0%} of its bytes are right)', '>= 10x', f'{other:.0f} MB/s', f'{mine:.0f} MB/s', f'{mine / max(other, 1e-9):.1f}')


def wrk(url):
    out = subprocess.run(['taskset', '-c', '1', 'wrk', '-t1', '-c8', '-d2s', url], check=True, capture_output=True, text=True).stdout
    return float(re.search(r'Requests/sec:\s+([\d.]+)', out)[1])


def bench_core(images, work):
    name = 'g16_4096_u64_idx.jp2'
    data = imported(work, os.path.join(images, name))
    one_core = ['taskset', '-c', '0']
    with Server(data, before=one_core) as server, StaticFloor(server, before=one_core) as floor:
        for label, window, target in (('64 KiB', 'fsiz=4096,4096&roff=1000,1000&rsiz=130,130', 0.5), ('2 KiB', 'fsiz=4096,4096&roff=1010,1010&rsiz=8,8&len=2048', 0.35)):
            query = f'/jpip?target={name}&type=jpp-stream&{window}'
            size = len(get(floor.base + query))
            runs = [(wrk(server.base + query), wrk(floor.base + query)) for _ in range(5)]
            ours, static = (statistics.median(side) for side in zip(*runs))
            ratios = sorted(mine / theirs for mine, theirs in runs)
            row(f'one core, ~{label} windows ({size} bytes)', f'>= {target}x', f'{static:.0f} req/s', f'{ours:.0f} req/s', f'{ratios[2]:.2f} ({ratios[0]:.2f} to {ratios[4]:.2f})')


def bench_idle(images, work):
    empty = tempfile.mkdtemp(dir=work)
    times = []
    for _ in range(5):
        shutil.rmtree(empty)
        with Server(empty) as server:
            times.append(server.ready_ms)
            time.sleep(0.3)
            idle = status(server.pid, 'VmRSS')
    start = time.perf_counter()
    subprocess.run([PRECINCT, '--version'], stdout=subprocess.DEVNULL, check=True)
    floor = (time.perf_counter() - start) * 1e3
    row('ready after start on an empty data directory', '150 ms', f'--version {floor:.0f} ms', f'{sorted(times)[2]:.0f} ms', '')
    row('idle server', '30 MB', '', f'{idle:.1f} MB', '')
    name = 'g16_1024_u64_idx.jp2'
    data = imported(work, os.path.join(images, name))
    with Server(data) as server:
        import http.client
        host, port = server.http.split(':')
        connection = http.client.HTTPConnection(host, int(port))
        get(server.base + '/healthz')
        before, opened = status(server.pid, 'VmRSS'), 0
        for _ in range(10_000):
            connection.request('GET', f'/jpip?target={name}&type=jpp-stream&cnew=http&fsiz=128,128')
            answer = connection.getresponse()
            answer.read()
            opened += answer.status == 200 and answer.getheader('JPIP-cnew') is not None
        row(f'{opened} idle channels, each after one thumbnail', '300 MB', f'before {before:.0f} MB', f"{status(server.pid, 'VmRSS'):.0f} MB", '')


def disk_floor(files, folder, senders):
    """Objects a second of a loop that does the same disk work without DICOM: write, fsync, rename, fsync of the folder, and one
    commit an object, or with several writers grouped commits."""
    os.makedirs(folder)
    db = sqlite3.connect(os.path.join(folder, 'catalog'), check_same_thread=False, isolation_level=None)
    db.execute('PRAGMA journal_mode=WAL')
    db.execute('PRAGMA synchronous=FULL')
    db.execute('CREATE TABLE objects (key TEXT PRIMARY KEY, size INTEGER)')
    contents = []
    for path in files:
        with open(path, 'rb') as f:
            contents.append(f.read())

    def put(number):
        temporary = os.path.join(folder, f'tmp{number}')
        with open(temporary, 'wb', buffering=0) as out:
            out.write(contents[number])
            os.fsync(out.fileno())
        os.rename(temporary, os.path.join(folder, f'object{number}'))
        directory = os.open(folder, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)

    def commit(rows):
        db.execute('BEGIN IMMEDIATE')
        db.executemany('INSERT INTO objects VALUES (?, ?)', [(str(number), len(contents[number])) for number in rows])
        db.execute('COMMIT')

    waiting = queue.Queue()

    def write(first):
        for number in range(first, len(contents), senders):
            put(number)
            done = threading.Event()
            waiting.put((number, done))
            done.wait()

    def commit_groups():
        left = len(contents)
        while left:
            group = [waiting.get()]
            while not waiting.empty() and len(group) < 128:
                group.append(waiting.get())
            commit([number for number, _ in group])
            for _, done in group:
                done.set()
            left -= len(group)

    start = time.perf_counter()
    if senders == 1:
        for number in range(len(contents)):
            put(number)
            commit([number])
    else:
        threads = [threading.Thread(target=write, args=(n,)) for n in range(senders)] + [threading.Thread(target=commit_groups)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return len(contents) / (time.perf_counter() - start)


def bench_store(images, work):
    """Durable C-STORE of 512x512 CT by stock storescu, in turns with the floor; the middle of three."""
    folder = os.path.join(images, '..', 'ct')
    if not os.path.exists(folder):
        python = os.path.join(ROOT, '.venv', 'bin', 'python')
        subprocess.run([python, os.path.join(TOOLS, 'dcmmake.py'), 'ct', folder, '--codec', 'j2k-lossless', '--n', '1000', '--unique', '40', '--size', '512'],
                       check=True, stdout=subprocess.DEVNULL)
    files = sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith('.dcm'))
    for associations, rate in ((1, 250), (8, 1000)):
        runs, peak = [], 0
        for turn in range(3):
            # Under new names each time and nothing deleted in between: ext4 is slow where files have just been deleted.
            with Server(os.path.join(work, f'store{associations}{turn}')) as server:
                out = subprocess.run([sys.executable, os.path.join(TOOLS, 'bench_store.py'), '--port', server.dicom.split(':')[1], '--aec', 'PRECINCT', '--dir', folder,
                                      '--assoc', str(associations), '--server-pid', str(server.pid)], check=True, capture_output=True, text=True).stdout
                taken, all_of_them, ours = re.search(r'n=(\d+) ok=(\d+) .* ([\d.]+) inst/s', out).groups()
                peak = max(peak, status(server.pid, 'VmHWM'))
            lost = '' if taken == all_of_them else f' ({all_of_them} of {taken})'
            runs.append((float(ours), disk_floor(files, os.path.join(work, f'floor{associations}{turn}'), associations)))
        ratios = sorted(ours / floor for ours, floor in runs)
        ours, floor = (statistics.median(side) for side in zip(*runs))
        row(f'C-STORE of 512x512 CT, {associations} storescu, peak {peak:.0f} MB{lost}', f'>= 0.5x, {rate}/s', f'{floor:.0f}/s', f'{ours:.0f}/s',
            f'{ratios[1]:.2f} ({ratios[0]:.2f} to {ratios[2]:.2f})')


def images_in(folder):
    images = os.path.join(folder, 'img')
    if not os.path.exists(os.path.join(images, 'g16_1024_debianjpip.jp2')):
        print(f'making the bench images in {folder} (some minutes, once)', flush=True)
        raw = os.path.join(folder, 'raw')
        subprocess.run(['/usr/bin/python3', os.path.join(TOOLS, 'make_raw.py'), raw], check=True)
        subprocess.run(['bash', os.path.join(TOOLS, 'make_images.sh'), raw, images], check=True)
    return images


def main():
    sections = {'index': bench_index, 'big': bench_big, 'cold': bench_cold, 'tiny': bench_tiny, 'load': bench_load, 'core': bench_core, 'peer': lambda images, work: bench_peer(images, work, 'g16_4096_u64_idx.jp2'), 'idle': bench_idle, 'store': bench_store, 'jpip': bench_jpip}
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--only', default=','.join(sections))
    p.add_argument('--keep', default=os.path.join(ROOT, 'build', 'bench'), help='where the bench images are made and kept')
    a = p.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    if not os.path.isdir(TOOLS):
        sys.exit('the bench needs the tools and images of ../shared, which is not beside this clone')
    global jpip_bench, jpipmsg
    import jpip_bench
    import jpipmsg
    images = images_in(a.keep)
    print('{:62} | {:>16} | {:>20} | {:>24} | {}'.format('what', 'target', 'floor or peer', 'measured', 'ratio'))
    with tempfile.TemporaryDirectory(dir=a.keep) as work:
        for name in a.only.split(','):
            sections[name](images, work)


if __name__ == '__main__':
    main()
