#!/bin/sh
# A decoder under test in shell, for --raw: bytes on its input, one line of JSON for each event. Needs jq.
exec jq -cRn '
  foreach (inputs | rtrimstr("\r")) as $line ({data: [], out: null};
    if $line == "" then {data: [], out: (if .data == [] then null else .data | join("\n") end)}
    elif $line | startswith("data:") then {data: (.data + [$line[5:] | ltrimstr(" ")]), out: null}
    else .out = null end;
    .out | select(. != null) | {data: .})'
