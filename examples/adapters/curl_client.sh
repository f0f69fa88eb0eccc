#!/bin/sh
# curl and jq as a client under test: curl does HTTP, jq reads the JSON of lines that begin with "data: ".
body=$SSE_CONFORMANCE_BODY
curl -sSN --fail-with-body --max-time "$SSE_CONFORMANCE_IDLE_S" -H 'Content-Type: application/json' -d "$body" "$1/chat/completions" |
  sed -un 's/^data: //p' | jq -cn --unbuffered '
    label $done | foreach inputs as $chunk (""; . + ($chunk.choices[0].delta.content // ""); $chunk)
    | {delta: (.choices[0].delta.content // "")}' 2>/dev/null
echo '{"end": "complete"}'
