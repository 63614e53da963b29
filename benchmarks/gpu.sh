#!/usr/bin/env bash
# What one CUDA GPU does, in under 9 minutes: benchmarks/gpu.sh CIFAR10_JPEG.tar.gz [RESULT.json]
# Needs python with torch, torchvision and Residua's other dependencies; the package itself is taken from src/.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
archive="${1:?the archive of CIFAR-10 as JPEG folders: train/ and test/}"
result="${2:-$root/benchmarks/results/gpu.json}"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
tar xzf "$archive" -C "$scratch"
folder="$(dirname "$(find "$scratch" -maxdepth 3 -type d -name train | head -n 1)")"
export RESIDUA_CACHE="$scratch/cache" PYTHONPATH="$root/src${PYTHONPATH:+:$PYTHONPATH}"
"${PYTHON:-python3}" "$root/benchmarks/gpu.py" "$folder" --out "$result"
