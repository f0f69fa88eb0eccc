// A decoder under test in Go, on bufio.Scanner as many programs have it: go run decoder.go
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
)

type request struct {
	Id     string
	Chunks []string
}

func main() {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for r := (request{}); in.Decode(&r) == nil; r = (request{}) {
		stream, _ := hex.DecodeString(strings.Join(r.Chunks, ""))
		out.Encode(map[string]any{"id": r.Id, "events": decode(string(stream)), "retry": nil})
	}
}

func decode(stream string) []map[string]string {
	events, data := []map[string]string{}, []string{}
	for lines := bufio.NewScanner(strings.NewReader(stream)); lines.Scan(); {
		if line := lines.Text(); line == "" && len(data) > 0 {
			events, data = append(events, map[string]string{"data": strings.Join(data, "\n")}), nil
		} else if strings.HasPrefix(line, "data:") {
			data = append(data, strings.TrimPrefix(line[5:], " "))
		}
	}
	return events
}
