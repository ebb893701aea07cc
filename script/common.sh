# What script/demo and script/test share. Sourced, not run.

say() { printf '\n==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
fail() { printf '\nerror: %s\n' "$1" >&2; shift; printf '  fix: %s\n' "$@" >&2; exit 1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Whether what a package is wanted for is there already, from Debian or from elsewhere.
has() {
    case $1 in
        curl | gcc | git | make | sudo) command -v "$1" >/dev/null ;;
        ca-certificates) [ -e /etc/ssl/certs/ca-certificates.crt ] ;;
        libc6-dev) [ -e /usr/include/stdlib.h ] ;;
        nodejs) command -v node >/dev/null ;;
        npm) command -v npm >/dev/null ;;
        openssh-client) command -v ssh >/dev/null && command -v ssh-keygen >/dev/null ;;
        openssh-server) [ -x /usr/sbin/sshd ] ;;
        postgresql) ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ;;
        python3-venv) [ -x /usr/bin/python3 ] && /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null ;;
        *) dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'install ok installed' ;;
    esac
}

# Installs the Debian packages that are missing.
install_missing() {
    local package missing=()
    for package in "$@"; do has "$package" || missing+=("$package"); done
    if [ ${#missing[@]} = 0 ]; then
        note "nothing to install"
        return
    fi
    note "apt-get install ${missing[*]}"
    command -v apt-get >/dev/null ||
        fail "this machine has no apt-get" "install by hand what these Debian packages hold: ${missing[*]}"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
        fail "${missing[*]} missing, and there is no sudo" "as root: apt-get install ${missing[*]}"
    for package in "${missing[@]}"; do
        case $package in
            openssh-server) note "Debian starts this SSH server, on port 22; paas does not need it to run" ;;
            postgresql) note "Debian starts a PostgreSQL of its own, on port 5432; paas runs another one" ;;
        esac
    done
    {
        as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    } </dev/null >/dev/null
    for package in "${missing[@]}"; do
        has "$package" || fail "apt-get installed $package, and it still cannot be used" "look at: apt-get install $package"
    done
}

need_rust() {
    command -v cargo >/dev/null || fail "Rust is missing" "install it with rustup: https://rustup.rs" "then open a new shell"
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ] ||
        fail "Rust $found is too old: $wanted is needed" "rustup update" "or, beside a Rust of Debian's: https://rustup.rs"
    note "Rust $found"
}
