# Sourced by the other scripts: a private Python environment in .venv, made from the lock files.
# usage: prepare_environment requirements.lock
cd "$(dirname "$0")/.." || exit 1

find_python() {
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate" && return
        fi
    done
    echo "Python 3.11 or later is needed (Debian: apt-get install python3 python3-venv)" >&2
    return 1
}

prepare_environment() {
    stamp=$(cat "$1" pyproject.toml | cksum)
    [ -f .venv/stamp ] && [ "$(cat .venv/stamp)" = "$1 $stamp" ] && return
    python=$(find_python) || exit 1
    if ! "$python" -m venv .venv; then
        echo "the module venv is needed (Debian: apt-get install python3-venv)" >&2
        exit 1
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$1" &&
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
            --no-build-isolation -e . || exit 1
    echo "$1 $stamp" >.venv/stamp
}
