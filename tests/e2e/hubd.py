#!/usr/bin/env python3
"""Runs the test Hub (see fakehub/) until it is killed; prints one line of JSON that says where.

    hubd.py --dir FOLDER --repo ORG/NAME [--type dataset] [--plain-http] [--option page=10]
    hubd.py --sample            a repository acme-lab/sample with a bit of everything
    hubd.py --xet ...           LFS files are stored in Xet

Control port (plain HTTP, "control" in that line): GET /, /log, /violations; POST /rules with a
fault or a list of them (fakehub/faults.py says which), /expire, /expire-tokens, /cut, /options;
DELETE /rules, /log.
"""

import argparse
import json
import signal
import sys
import threading

from fakehub import Generated, Hub

MB = 1 << 20


def main():
    args = parse()
    options = {"tls": not args.plain_http, "port": args.port}
    if args.xet:
        options["xet"] = "store"
    for pair in args.option:
        name, _, value = pair.partition("=")
        options[name] = json.loads(value) if value else True
    with Hub(**options) as hub:
        if args.dir:
            hub.add_folder(args.repo, args.dir, type=args.type)
        if args.sample:
            add_sample(hub, args.size)
        print(json.dumps(hub.describe()), flush=True)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        stop.wait()
        if args.log:
            json.dump({"log": hub.log, "violations": hub.violations}, sys.stdout)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dir", help="make a repository from this folder")
    parser.add_argument("--repo", default="acme-lab/tiny", help="its id")
    parser.add_argument("--type", default="model", choices=("model", "dataset", "space"))
    parser.add_argument("--sample", action="store_true", help="a sample repository")
    parser.add_argument("--size", type=int, default=300, help="MiB of its large file")
    parser.add_argument("--xet", action="store_true", help="LFS files are stored in Xet")
    parser.add_argument("--tls", action="store_true", help="https; the default")
    parser.add_argument("--plain-http", action="store_true", help="http")
    parser.add_argument("--port", type=int, default=0, help="of the Hub's origin")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=JSON",
                        help="an option of fakehub.Hub")
    parser.add_argument("--log", action="store_true", help="print the log at the end")
    return parser.parse_args()


def add_sample(hub, size):
    files = {
        "README.md": "---\nlicense: mit\n---\n# sample\n",
        "config.json": '{"model_type": "tiny"}\n',
        "empty.txt": b"",
        "weights/model.safetensors": Generated(1, size * MB),
        "weights/second.bin": Generated(2, 5 * MB + 1),
        "odd names/100% über #1?+.txt": "odd\n",
    }
    for number in range(40):
        files["data/part-%02d.txt" % number] = "line %d\n" % number * 50
    repo = hub.add_repo("acme-lab/sample", files)
    repo.tag("v1.0")


if __name__ == "__main__":
    main()
