# What the scripts share; sourced, not run.
# shellcheck shell=bash

say() { if [ -t 1 ]; then printf '\n\033[1m== %s\033[0m\n' "$*"; else printf '\n== %s\n' "$*"; fi; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# need COMMAND=PACKAGE…: the Debian or Ubuntu packages of the commands that are missing. Root gets them; somebody at a
# terminal is asked, because it takes sudo; everybody else is told the line.
need() {
  local missing=() pair
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} -eq 0 ] && return
  # What is there stays: a package that another one excludes would go without a question.
  local sudo=() line="apt-get install -y --no-remove --no-install-recommends ${missing[*]}"
  command -v apt-get >/dev/null || die "please install what provides: ${missing[*]}"
  if [ "$(id -u)" != 0 ]; then
    local answer=no
    if [ "${CI:-}" != true ] && [ -t 0 ] && command -v sudo >/dev/null; then
      read -rp "Missing: ${missing[*]}. Run 'sudo $line'? [y/N] " answer
    fi
    case $answer in
      y | Y | yes) sudo=(sudo) ;;
      *) die "please run: sudo $line" ;;
    esac
  fi
  say "installing ${missing[*]}"
  # Lists that are there are taken as they are: a refresh costs time, and is needed only where a name is not found.
  # shellcheck disable=SC2086 # the line is words
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive $line >/dev/null 2>&1 || {
    "${sudo[@]}" apt-get update -qq
    # shellcheck disable=SC2086
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive $line >/dev/null
  }
}

need_rust() {
  command -v cargo >/dev/null && return
  # Where rustup puts it, before a login shell has read about it.
  [ -x "$HOME/.cargo/bin/cargo" ] || die "please install Rust: https://rustup.rs"
  PATH=$HOME/.cargo/bin:$PATH
}
