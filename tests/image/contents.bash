# What is in the image; sourced by scripts/check-image.
# shellcheck shell=bash disable=SC2154 # set there

bytes=$("${podman[@]}" image inspect --format='{{.Size}}' "$image")
[ "$bytes" -lt 20000000 ] || fail "the image has $bytes bytes; expected less than 20 MB"
proved size "$((bytes / 1000000)).$((bytes / 100000 % 10)) MB"

layers=$("${buildah[@]}" from --pull-never "$image")
root=$("${buildah[@]}" mount "$layers")
files=$(cd "$root" && find . ! -type d -printf '/%P\n' | sort)
expected=$'/etc/ssl/certs/ca-certificates.crt\n/receiver'
[ "$files" = "$expected" ] || fail "the image holds ${files//$'\n'/ }; expected ${expected//$'\n'/ } alone"
proved files "${files//$'\n'/, } and nothing else: no shell, no libraries"

# Where the section is missing, objcopy says so and yet ends well.
rm -f "$work/sbom"
objcopy --dump-section ".dep-v0=$work/sbom" "$root/receiver" "$work/receiver" 2> "$work/objcopy.log" || true
[ -s "$work/sbom" ] || fail "the receiver has no section .dep-v0; expected the SBOM that cargo auditable embeds"
python3 tests/image/sbom.py "$work/sbom" | sort -u > "$work/named"
cargo tree --locked --package receiver --edges normal --target x86_64-unknown-linux-gnu --prefix none --format '{p}' \
    | awk '{print $1, substr($2, 2)}' | sort -u > "$work/linked"
awk -F '"' '/^name = /{name = $2} /^version = /{print name, $2}' Cargo.lock | sort -u > "$work/locked"
unnamed=$(comm -23 "$work/linked" "$work/named")
[ -z "$unnamed" ] || fail "the SBOM leaves out what is linked: ${unnamed//$'\n'/, }"
unlocked=$(comm -23 "$work/named" "$work/locked")
[ -z "$unlocked" ] || fail "the SBOM names what Cargo.lock does not: ${unlocked//$'\n'/, }"
if grep '^emulator ' "$work/named"; then
    fail "the SBOM names the emulator; expected none in the image"
fi
proved SBOM "$(wc -l < "$work/named") crates of Cargo.lock, among them all $(wc -l < "$work/linked") that are linked"
