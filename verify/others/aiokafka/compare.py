#!/usr/bin/env python3
"""Runs aiokafka's producer through concurrent starts, a failed start and a stop during a start, beside surestart.

    python3 -m venv venv && venv/bin/pip install -r verify/others/aiokafka/requirements.txt
    venv/bin/python verify/others/aiokafka/compare.py [host:port]

Without an address it takes the broker that SURESTART_KAFKA names, or starts an embedded one (surestart broker). On Apache Kafka:

    SURESTART_KAFKA=$(./check kafka start -dir /tmp/broker) venv/bin/python verify/others/aiokafka/compare.py
    ./check kafka stop -dir /tmp/broker

Three columns: aiokafka as it is, aiokafka with
the start() that its pull request 1143 proposes, and surestart. A connection is an established socket of this
process to the broker, a task one of asyncio's (for surestart: a goroutine) more than before.
"""
import asyncio
import json
import logging
import os
import pathlib
import re
import subprocess
import sys

import aiokafka

logging.disable(logging.CRITICAL)
ROOT = pathlib.Path(__file__).resolve().parents[3]


class PR1143(aiokafka.AIOKafkaProducer):
    """start() as at commit 2f8cf581, line for line, except for its comments."""

    _started = False

    async def start(self):
        if self._started:
            return
        self._started = True
        try:
            await self.client.bootstrap()
            await self._sender.start()
        except Exception:
            self._started = False
            raise


def connections(port):
    """Established sockets of this process to the port."""
    inodes = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            inodes.add(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            pass
    n = 0
    for family in ("tcp", "tcp6"):
        for line in open(f"/proc/self/net/{family}").readlines()[1:]:
            f = line.split()
            n += f[3] == "01" and int(f[2].split(":")[1], 16) == port and f"socket:[{f[9]}]" in inodes
    return n


def tasks():
    return len(asyncio.all_tasks()) - 1


async def settled():
    """Waits until the cancelled tasks have ended."""
    for _ in range(20):
        await asyncio.sleep(0.01)


async def stop(p):
    try:
        await asyncio.wait_for(p.stop(), 5)
    except asyncio.TimeoutError:
        return "hangs"
    return "returns"


async def concurrent(make, port):
    p = make()
    errors = [e for e in await asyncio.gather(*(p.start() for _ in range(100)), return_exceptions=True) if e]
    await settled()
    out = {"errors": len(errors), "connections": connections(port), "tasks": tasks()}
    out["stop"] = await stop(p)
    await settled()
    return out | {"connections left": connections(port), "tasks left": tasks()}


async def after_a_failure(make, port):
    """The first start fails in its second step. The failure is injected: the sender's own start is replaced by one that
    raises OSError, so that the client has been bootstrapped by then. surestart's first start fails of itself: its topic
    does not exist yet, which it finds out once it is connected."""
    p = make()
    real, p._sender.start = p._sender.start, fails
    try:
        await p.start()
        first = "nil"
    except OSError:
        first = "fails"
    await settled()
    out = {"first": first, "connections after": connections(port), "tasks after": tasks()}
    p._sender.start = real
    try:
        await p.start()
        out["second"] = "nil"
    except Exception as e:
        out["second"] = type(e).__name__
    await settled()
    out["connections"] = connections(port)
    out["stop"] = await stop(p)
    await settled()
    return out | {"connections left": connections(port), "tasks left": tasks()}


async def fails():
    raise OSError("the sender cannot start")


async def stopped_meanwhile(make, port):
    p = make()
    start = asyncio.ensure_future(p.start())
    await asyncio.sleep(0)  # it connects
    out = {"stop": await stop(p)}
    try:
        await start
        out["start"] = "nil"
    except Exception as e:
        out["start"] = type(e).__name__
    out["stop again"] = await stop(p)
    await settled()
    return out | {"connections left": connections(port), "tasks left": tasks()}


SCENARIOS = {
    "100 concurrent starts": concurrent,
    "a start after a failed one": after_a_failure,
    "a stop during a start": stopped_meanwhile,
}


async def run(kind, scenario, address):
    make = lambda: kind(bootstrap_servers=address, request_timeout_ms=5000)
    out = await scenario(make, int(address.rsplit(":", 1)[1]))
    for t in asyncio.all_tasks() - {asyncio.current_task()}:
        t.cancel()
    return out


def main():
    # verify/others/documents.go quotes it
    assert "Flush all pending data and close all connections to kafka cluster" in aiokafka.AIOKafkaProducer.stop.__doc__
    broker = None
    address = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SURESTART_KAFKA", "").split(",")[0]
    where = f"the broker at {address}"
    if not address:
        where = "the embedded broker"
        broker = subprocess.Popen(["go", "run", "./cmd/surestart", "broker", "-port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True, process_group=0)
        for line in broker.stdout:
            if at := re.search(r"127\.0\.0\.1:\d+", line):
                address = at.group()
                break
    try:
        ours = subprocess.run(["go", "run", "./aiokafka", address], cwd=ROOT / "verify/others", stdout=subprocess.PIPE, text=True, check=True)
        ours = json.loads(ours.stdout)
        print(f"aiokafka {aiokafka.__version__}, Python {sys.version.split()[0]}, on {where}")
        for name, scenario in SCENARIOS.items():
            columns = [asyncio.run(run(kind, scenario, address)) for kind in (aiokafka.AIOKafkaProducer, PR1143)] + [ours[name]]
            print(f"\n{name:<28}{'aiokafka':>14}{'PR 1143':>14}{'surestart':>14}")
            for key in columns[0]:
                print(f"  {key:<26}" + "".join(f"{c.get(key, ''):>14}" for c in columns))
    finally:
        if broker:
            os.killpg(broker.pid, 15)
            broker.wait()


if __name__ == "__main__":
    main()
