"""The bench's section `catalog`: searches in a catalog of a million instances, idle and while more arrive (issue 5, section 5).

The instances are made up by `cargo run --release -p catalog --example archive`; nothing of them is stored but rows. The floor asks the
same database bare SQL for the same rows, in this process, and reads nothing of them.
"""
import os
import random
import sqlite3
import statistics
import subprocess
import time

from harness import TARGET, Server, row

ARCHIVE = os.path.join(TARGET, 'release', 'examples', 'archive')
ROWS = int(os.environ.get('BENCH_INSTANCES', '1000000'))
STUDIES = ROWS // 600
TIMES = 200
NAMES = ['müller', 'schmidt', 'yamada', 'garcia', 'smith', 'novak', 'rossi', 'dubois', 'kowalski', 'silva', 'ng', 'okafor']

# What is asked, the target in ms, the path of the search, and the bare question with its values.
SEARCHES = [
    ('a page of 100 studies', 10, lambda n: f'/studies?limit=100&offset={n % max(1, STUDIES - 100)}',
     lambda n: ('SELECT attributes FROM studies ORDER BY serial LIMIT 100 OFFSET ?', (n % max(1, STUDIES - 100),))),
    ('a study by its UID', 3, lambda n: f'/studies?StudyInstanceUID=2.25.7.{n % STUDIES}',
     lambda n: ('SELECT attributes FROM studies WHERE study_instance_uid = ?', (f'2.25.7.{n % STUDIES}',))),
    ('studies by the beginning of a name', 15, lambda n: f'/studies?PatientName={NAMES[n % 12]}00*&limit=100',
     lambda n: ('SELECT attributes FROM studies WHERE alphabetic_name >= ? AND alphabetic_name < ? LIMIT 100',
                (NAMES[n % 12].replace('ü', 'u') + '00', NAMES[n % 12].replace('ü', 'u') + '01'))),
    ('instances of a series of 600', 40, lambda n: '/studies/2.25.7.1/series/2.25.8.6/instances',
     lambda n: ('SELECT attributes FROM instances WHERE series_instance_uid = ? ORDER BY serial', ('2.25.8.6',))),
]


def p95(times):
    return sorted(times)[int(len(times) * 0.95)]


def ask(server, path):
    from jpip import Connection
    times = []
    connection = Connection(server.http)
    random.seed(1)
    for _ in range(TIMES):
        n = random.randrange(1 << 30)
        begun = time.perf_counter()
        connection.ask('/dicom-web' + path(n).replace('ü', '%C3%BC'))
        times.append((time.perf_counter() - begun) * 1e3)
    return times


def ask_bare(database, question):
    times = []
    random.seed(1)
    for _ in range(TIMES):
        begun = time.perf_counter()
        database.execute(*question(random.randrange(1 << 30))).fetchall()
        times.append((time.perf_counter() - begun) * 1e3)
    return times


def fill(url, instances):
    out = subprocess.run([ARCHIVE, url, str(instances)], check=True, capture_output=True, text=True).stdout
    return float(out.split()[-3])


def bench_catalog(images, _work):
    folder = os.path.join(os.path.dirname(images), f'catalog-{ROWS}')
    path = os.path.join(folder, 'catalog.sqlite')
    if not os.path.exists(path):
        with Server(folder):
            pass
        first = fill(f'sqlite:{path}', 10_000)
        fill(f'sqlite:{path}', ROWS - 20_000)
        last = fill(f'sqlite:{path}', ROWS)
        row(f'rows a second at {ROWS} instances', '>= 0.9x', f'{first:.0f}/s at 10^4', f'{last:.0f}/s', f'{last / first:.2f}')
    database = sqlite3.connect(f'file:{path}?mode=ro', uri=True)
    with Server(folder) as server:
        idle = {}
        for what, target, search, question in SEARCHES:
            ours, floor = ask(server, search), ask_bare(database, question)
            idle[what] = p95(ours)
            row(f'{what}, p95 (p50)', f'{target} ms', f'SQL {p95(floor):.2f} ms', f'{p95(ours):.2f} ms ({statistics.median(ours):.2f})', f'{p95(ours) / p95(floor):.1f}')
        there = database.execute('SELECT COUNT(*) FROM instances').fetchone()[0]
        filling = subprocess.Popen([ARCHIVE, f'sqlite:{path}', str(there + 10_000_000)], stdout=subprocess.DEVNULL)
        try:
            time.sleep(1)
            for what, _, search, _ in SEARCHES:
                ours = ask(server, search)
                row(f'{what}, p95 while rows arrive', '2x of idle', f'{idle[what]:.2f} ms', f'{p95(ours):.2f} ms', f'{p95(ours) / idle[what]:.1f}')
        finally:
            filling.kill()
            filling.wait()
