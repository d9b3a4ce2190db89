#!/bin/sh
# Everything that waits for a GPU, in the order of its worth: tests, speeds, then the paper's network on
# Space Invaders m1d1 for as long as the machine lasts. Call it again to continue.
#
#     results/on_a_gpu.sh DIR        # DIR keeps the runs; put it on a disk that outlives the machine
set -eu
out=${1:?give a folder for the runs, as in results/on_a_gpu.sh /data/gpu}
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here"
make .venv/installed-dev
device=${THAW_DEVICE:-cuda}
if [ "$device" = cuda ]; then
    .venv/bin/python -m pytest tests/test_gpu.py
fi
for flavor in atari/space_invaders@m1d1 catch; do
    .venv/bin/thaw bench --flavor "$flavor" --device "$device" --out benchmarks \
        --rounds "${THAW_ROUNDS:-5}" --seconds "${THAW_SECONDS:-2}"
done
.venv/bin/thaw run atari-paper --out "$out" --device "$device" \
    --set 'transfers=[{"source": "atari/space_invaders", "target": "atari/space_invaders@m1d1"}]' \
    --set "pretrain_steps=${THAW_STEPS:-5_000_000}" --set "transfer_steps=${THAW_STEPS:-5_000_000}" \
    --seeds "${THAW_SEEDS:-3}"
