#!/usr/bin/env bash
# Regenerates docs/assets: the figures, and the picture, report and summary of the demo.
# A finished demo in WORK_FOLDER is used as is; otherwise the demo runs first (about ten minutes).
#
#   bash examples/assets.sh [WORK_FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
work="${1:-mindanim-work}"
assets=docs/assets
evaluation="$work/simulated/sub-01/evaluation"
page="$assets/demo-report.html"
summary="$work/demo-summary.html"

python examples/figures.py "$assets"
python examples/chance.py "$assets"
mindanim demo --work "$work" --ablations
python examples/picture.py "$work" "$assets/demo.webp"
mindanim report "$evaluation" --clips 12 --film-mb 1 --out "$page"
mindanim report --dataset simulated --subject 1 --work "$work" --out "$summary"
cp "$summary" "$assets/demo-summary.html" # its tables (.md, .tex, .tsv) stay in the work folder
