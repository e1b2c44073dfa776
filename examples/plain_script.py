"""
A worker without a web framework: registered while its main function runs.

    python examples/plain_script.py
    configkit config set batch_size 50 --service nightly-batch     # in another terminal
"""

import signal
import threading

import configkit

kit = configkit.connect(service_name="nightly-batch")
stop = threading.Event()


def say(change: configkit.ValueChanged) -> None:
    print(f"{change.key} is now {change.value}", flush=True)


@kit.register(url="http://127.0.0.1:9000", metadata={"kind": "worker"})
def main() -> None:
    print(f"batch_size is {kit.config.get('batch_size', default=20)}", flush=True)
    decision = kit.flags.evaluate("parallel_import", default=False, user_id="customer-7")
    print(f"parallel_import is {decision.value} ({decision.reason})", flush=True)
    with kit.config.on_change("batch_size", say):
        stop.wait()


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with kit:
        main()
