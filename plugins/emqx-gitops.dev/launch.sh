# Read by the launchers, which set $kind and $self: start the function with the first Python that can run it.
# Every render of every layer comes through here, so nothing forks while the virtualenv is in order.

# The real folder of this clone: Python reads `..` behind a link as text, and would look for the virtualenv elsewhere.
unset CDPATH
here=$PWD
cd -P -- "${self%/*}/../../../.." && root=$PWD && cd -- "$here" || exit 1

for yaml in "$root"/.venv/lib/python3*/site-packages/yaml/__init__.py; do
    if [ -r "$yaml" ] && [ -x "$root/.venv/bin/python" ]; then
        exec "$root/.venv/bin/python" -I "$root/plugins/emqx_fn/__main__.py" "$kind" "$@"
    fi
done

IFS=:
set -f
for folder in $PATH; do
    case $folder in
        # A version manager's shim picks a Python by the current folder, which is the overlay here, and is slow.
        */shims | */shims/) continue ;;
        /*) ;;
        *) continue ;; # relative: would run whatever lies in the overlay
    esac
    if [ -x "$folder/python3" ] &&
        "$folder/python3" -I -c 'import sys, yaml; sys.exit(sys.version_info < (3, 10))' </dev/null >/dev/null 2>&1; then
        exec "$folder/python3" -I "$root/plugins/emqx_fn/__main__.py" "$kind" "$@"
    fi
done

echo "emqx-gitops: no Python 3.10 or newer with PyYAML found (shims are not used); run: make -C '$root' setup" >&2
exit 1
