#!/usr/bin/env bash
# The whole pipeline, command by command, for the two subjects of the simulated study.
# Works from any folder. For your own study, change the three exports; the commands stay the same.
#
#   bash examples/demo.sh [WORK_FOLDER]
set -euo pipefail
export MINDANIM_WORK="${1:-$PWD/mindanim-work}"
export MINDANIM_DATASET=simulated
export MINDANIM_DATA_SIMULATED="$MINDANIM_WORK/simulated-study"

mindanim simulate --out "$MINDANIM_DATA_SIMULATED"
mindanim encode-stimuli
for subject in 1 2; do
    mindanim preprocess      --subject "$subject"
    mindanim train-semantic  --subject "$subject"
    mindanim train-structure --subject "$subject"
    mindanim train-motion    --subject "$subject"
    mindanim generate        --subject "$subject"
    mindanim generate        --subject "$subject" --label oracle --oracle all
    mindanim evaluate        --subject "$subject"
done
mindanim show
