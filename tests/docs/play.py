"""Run the examples of one page in one process, in their order: `python -m tests.docs.play PAGE [ADDRESS]`."""

from __future__ import annotations

import subprocess
import sys

import httpx2

from tests.docs.blocks import Block, blocks, commands, curl

WRITTEN = "http://localhost:8082"
"""The address in the documentation, which is replaced by that of the server that the test has started."""


def play(page: str, address: str) -> None:
    """Run *page*; whatever fails raises, with the line of the page in its traceback."""
    namespace: dict[str, object] = {"__name__": f"example of {page}"}
    for block in blocks(page):
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), namespace)
        else:
            _run(block, address)


def _run(block: Block, address: str) -> None:
    for command in commands(block):
        if command.startswith("curl "):
            request = curl(command.replace(WRITTEN, address))
            answer = httpx2.request(request.method, request.url, headers=request.headers, content=request.body)
            assert answer.is_success, f"{command}: {answer.status_code} {answer.text}"
        else:
            done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{command}: exit {done.returncode} {done.stdout} {done.stderr}"


if __name__ == "__main__":
    play(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else WRITTEN)
