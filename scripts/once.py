"""Speak one recorded question to a server of our own, through a real socket, and judge the answer.

Exits 0 only if the answer is right. Arguments are passed on to `realtime ask` (say --model PATH).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SAMPLES = Path(__file__).parents[1] / "client" / "samples"
QUESTION = "what-is-the-capital-of-france.mp3"


def main() -> int:
    """Ask, show, judge."""
    sample = json.loads((SAMPLES / "samples.json").read_text())[QUESTION]
    print(f'Speaking "{sample["words"]}" to a server of our own ...', flush=True)
    command = [sys.executable, "-m", "realtime", "ask", str(SAMPLES / QUESTION), *sys.argv[1:]]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    answer = run.stdout.strip()
    if run.returncode:
        print("It was not answered.")
        return run.returncode
    right = answer == sample["answer"]
    print(f"Answer: {answer} ({'right' if right else 'wrong: expected ' + sample['answer']})")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
