# What a container of the image does; sourced by scripts/check-image.
# shellcheck shell=bash disable=SC2154 # set there

# Waits until a file has a line, and prints it.
line_of() { # file, pattern
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        grep --max-count=1 -e "$2" "$1" && return
        sleep 0.1
    done
    fail "$1 has no line '$2' after 30 s"
}

# Nothing of a run before may be taken for this one's.
for log in emulator key_server receiver; do : > "$work/$log.log"; done

emulator=${CARGO_TARGET_DIR:-target}/debug/emulator
"$emulator" serve --port 0 > "$work/emulator.log" 2>&1 &
issuer=$(line_of "$work/emulator.log" '^issuing as ' | sed 's/issuing as \([^ ]*\) .*/\1/')
# An address of loopback that no name server of the machine listens at.
dns=127.0.0.153
python3 tests/image/key_server.py "$dns" "$key_host" "$work/server.pem" "$work/server.key" "$issuer/oauth2/v3/certs" \
    > "$work/key_server.log" 2>&1 &
key_port=$(line_of "$work/key_server.log" '^[0-9]*$')

audience=https://receiver.example.run.app
account=caller@demo-project.iam.gserviceaccount.com
settings=(
    HOST=127.0.0.1 PORT=0 K_SERVICE=receiver BODY_MEMORY=16MiB AUTH=verify "AUDIENCE=$audience"
    "SCHEDULER_CALLERS=$account" "TASKS_CALLERS=$account" "PUBSUB_CALLERS=$account" "EVENTS_CALLERS=$account"
    "OIDC_ISSUER=$issuer" "OIDC_KEYS_URL=https://$key_host:$key_port/certs" ALLOW_TEST_ISSUER=1
)
# With limits of its own, since those of the machine may not be raised.
"${podman[@]}" run --detach --name="$container" --network=host --dns="$dns" --memory=64m --memory-swap=64m --cpus=1 \
    --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024 --read-only --read-only-tmpfs=false --cap-drop=ALL \
    --security-opt=no-new-privileges "${settings[@]/#/--env=}" "$image" > /dev/null
"${podman[@]}" logs --follow "$container" > "$work/receiver.log" 2>&1 &
port=$(line_of "$work/receiver.log" '"listening on ' | sed 's/.*"port":\([0-9]*\).*/\1/')

process=$("${podman[@]}" inspect --format='{{.State.Pid}}' "$container")
status_of() { awk -v name="$1:" '$1 == name {print $2}' "/proc/$process/status"; }
rights="$(status_of Uid) $(status_of CapEff) $(status_of CapBnd) $(status_of NoNewPrivs)"
[ "$rights" = "65532 0000000000000000 0000000000000000 1" ] \
    || fail "its user, capabilities and no_new_privs are $rights; expected 65532, none and 1"
awk '$5 == "/" {print $6}' "/proc/$process/mountinfo" | grep -q '^ro\>' || fail "its root can be written to"
# Where cgroups of version 2 have it, and of version 1.
limits=$(cat "/proc/$process/root/sys/fs/cgroup"/{memory.max,memory/memory.limit_in_bytes} 2> /dev/null || true)
[ "$limits" = $((64 << 20)) ] || fail "its memory is limited to '$limits' bytes; expected 64 MiB"
proved rights "user 65532, no capabilities and none to be had, a read-only root, 64 MiB of memory"

line_of "$work/key_server.log" "^asked for $key_host, type 1$" > /dev/null
proved DNS "$key_host asked for at the only name server, $dns"
line_of "$work/key_server.log" "^fetched from $key_host:" > /dev/null
ready() {
    local connection
    exec {connection}<> "/dev/tcp/127.0.0.1/$port"
    printf 'GET /health/ready HTTP/1.1\r\nHost: receiver\r\nConnection: close\r\n\r\n' >&"$connection"
    grep -q '^HTTP/1.1 204 ' <&"$connection"
    exec {connection}<&-
}
# Fetched keys are still on their way into the set.
for ((tries = 0; tries < 300; tries++)); do ! ready || break; sleep 0.1; done
ready || fail "/health/ready does not answer 204"
proved TLS "keys fetched with the image's roots, and /health/ready answers 204"
proved idle "$(($(status_of VmRSS) / 1024)) MiB resident"

if [ ! -f src/jobs/send_receipt.rs ] || [ ! -f src/jobs/index_upload.rs ]; then
    echo "skipped: deliveries, since the example jobs have been deleted"
    return
fi

fire() { # audience
    "$emulator" fire tasks --emulator-url "$issuer" --email "$account" --audience "$1" \
        --url "http://127.0.0.1:$port/tasks/send-receipt" --body '{"order":"A-1001","email":"ada@example.com"}'
}
taken=$(fire "$audience") || fail "a signed delivery was not taken: $taken"
refused=$(fire https://other.example.run.app) && fail "a delivery for another audience was taken: $refused"
[[ $taken == *"204 in "* && $refused == *"401 in "* ]] || fail "expected 204 and 401; found $taken and $refused"
proved deliveries "204 to a signed one, 401 to one that is signed for another audience"

token=$("$emulator" token --emulator-url "$issuer" --audience "$audience" --email "$account")

# Sends a request's head, and has $connection stand open for the body once the receiver wants it.
begin() { # path, the body's length, further headers
    exec {connection}<> "/dev/tcp/127.0.0.1/$port"
    printf '%s\r\n' "POST $1 HTTP/1.1" "Host: receiver" "Authorization: Bearer $token" "Content-Length: $2" \
        "Expect: 100-continue" "${@:3}" "" >&"$connection"
    expect "the head of a request" "$connection" 100
    read -r -u "$connection"
}

expect() { # what was sent, the connection that its answer comes on, the status
    local status=
    read -r -t 30 -u "$2" _ status _ || true
    [ "$status" = "$3" ] || fail "$1 was answered ${status:-nothing}; expected $3"
}

# No entry of an index: it is answered 200, as unreadable, once all of it has been held and decoded.
{
    printf '{"subscription":"projects/p/subscriptions/s","message":{"messageId":"1","data":"'
    head --bytes=10000000 /dev/zero | base64 --wrap=0
    printf '"}}'
} > "$work/push"
length=$(stat --format=%s "$work/push")
begin /pubsub/index-upload "$length"
first=$connection
# More than the kernel buffers, so that the receiver holds some when the next one comes.
head --bytes=8000000 "$work/push" >&"$first"
begin /pubsub/index-upload "$length"
expect "a push that BODY_MEMORY has no room for" "$connection" 429
exec {connection}<&-
tail --bytes=+8000001 "$work/push" >&"$first"
expect "a push of $length bytes" "$first" 200
exec {first}<&-
proved memory "200 to 13 MB, 429 to as much beside it; $(($(status_of VmHWM) / 1024)) MiB resident at most"

body='{"order":"A-1002","email":"ada@example.com"}'
begin /tasks/send-receipt ${#body} "X-CloudTasks-QueueName: receipts" "X-CloudTasks-TaskName: at-the-end" \
    "X-CloudTasks-TaskRetryCount: 0" "X-CloudTasks-TaskExecutionCount: 0" "X-CloudTasks-TaskETA: $EPOCHREALTIME"
printf '%s' "${body:0:20}" >&"$connection"
asked=$SECONDS
"${podman[@]}" kill --signal=TERM "$container" > /dev/null
line_of "$work/receiver.log" 'SIGTERM: draining' > /dev/null
# Its job runs after the signal, since half of the payload is still here.
printf '%s' "${body:20}" >&"$connection"
expect "the delivery in flight at SIGTERM" "$connection" 204
code=$("${podman[@]}" wait "$container")
took=$((SECONDS - asked))
[[ $code == 0 && $took -lt 10 ]] || fail "it ended with $code after $took s; expected 0 within 10 s"
record=$(line_of "$work/receiver.log" '"task":"at-the-end"')
[[ $record == *'"outcome":"done"'* ]] || fail "the record of the delivery in flight is $record"
proved SIGTERM "the delivery in flight was done, answered 204 and recorded; ended with 0 in $took s"
