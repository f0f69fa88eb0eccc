// What the path asks the server for. It is JSON, so that it can be recorded for a page without a server.
//
// `path` and `body` are the request; the settings of the delivery stand before the API's path. A scene without a body is a
// GET, which is repeated with Last-Event-ID until its stream says that it is done.

export const SCENES = {
  "deltas/stop": {"wire": "openai", "path": "/tps=3&ttft=0.6/v1/chat/completions", "body": {"model": "toy-echo", "messages": [{"role": "user", "content": "One word is one delta."}], "stream": true, "stream_options": {"include_usage": true}}},
  "deltas/length": {"wire": "openai", "path": "/tps=3&ttft=0.6/v1/chat/completions", "body": {"model": "toy-echo", "messages": [{"role": "user", "content": "One word is one delta."}], "max_tokens": 3, "stream": true, "stream_options": {"include_usage": true}}},
  "silence/heartbeats": {"wire": "openai", "path": "/tps=3&ttft=5&heartbeat=1/v1/chat/completions", "body": {"model": "toy-echo", "messages": [{"role": "user", "content": "At last."}], "stream": true}},
  "silence/none": {"wire": "openai", "path": "/tps=3&ttft=5&heartbeat=0/v1/chat/completions", "body": {"model": "toy-echo", "messages": [{"role": "user", "content": "At last."}], "stream": true}},
  "stop/": {"wire": "openai", "path": "/tps=4&ttft=0.3/v1/chat/completions", "body": {"model": "toy", "messages": [{"role": "user", "content": "Tell me a story"}], "max_tokens": 60, "stream": true}},
  "errors/inside": {"wire": "openai", "path": "/tps=4&ttft=0.3&fault=error&at=5/v1/chat/completions", "body": {"model": "toy", "messages": [{"role": "user", "content": "Tell me a story"}], "stream": true}},
  "errors/before": {"wire": "openai", "path": "/fault=refuse/v1/chat/completions", "body": {"model": "toy", "messages": [{"role": "user", "content": "Tell me a story"}], "stream": true}},
  "ends/cut": {"wire": "openai", "path": "/tps=4&ttft=0.3&fault=cut&at=6/v1/chat/completions", "body": {"model": "toy", "messages": [{"role": "user", "content": "Tell me a story"}], "stream": true}},
  "ends/end": {"wire": "openai", "path": "/tps=4&ttft=0.3&fault=end&at=6/v1/chat/completions", "body": {"model": "toy", "messages": [{"role": "user", "content": "Tell me a story"}], "stream": true}},
  "ends/stall": {"wire": "openai", "path": "/tps=4&ttft=0.3&heartbeat=0&fault=stall&at=6/v1/chat/completions", "body": {"model": "toy", "messages": [{"role": "user", "content": "Tell me a story"}], "stream": true}},
  "resume/": {"path": "/events?prompt=Ten+words+come+in+several+connections+and+none+is+lost&model=toy-echo&tps=4&drop=4"},
  "both/": {"wire": "openai", "path": "/tps=6&ttft=0.5/v1/chat/completions", "body": {"model": "toy", "messages": [{"role": "user", "content": "Tell me a story"}], "max_tokens": 24, "stream": true}},
  "both/whole": {"wire": "openai", "path": "/tps=6&ttft=0.5/v1/chat/completions", "body": {"model": "toy", "messages": [{"role": "user", "content": "Tell me a story"}], "max_tokens": 24, "stream": false}},
  "wires/openai": {"wire": "openai", "path": "/tps=3&ttft=0.3/v1/chat/completions", "body": {"model": "toy-echo", "messages": [{"role": "user", "content": "The same answer."}], "stream": true}},
  "wires/anthropic": {"wire": "anthropic", "path": "/tps=3&ttft=0.3/v1/messages", "body": {"model": "toy-echo", "max_tokens": 64, "messages": [{"role": "user", "content": "The same answer."}], "stream": true}},
  "wires/openai-responses": {"wire": "openai-responses", "path": "/tps=3&ttft=0.3/v1/responses", "body": {"model": "toy-echo", "input": "The same answer.", "stream": true}},
  "wires/gemini": {"wire": "gemini", "path": "/tps=3&ttft=0.3/v1beta/models/toy-echo:streamGenerateContent?alt=sse", "body": {"contents": [{"role": "user", "parts": [{"text": "The same answer."}]}]}},
  "wires/cohere": {"wire": "cohere", "path": "/tps=3&ttft=0.3/v2/chat", "body": {"model": "toy-echo", "messages": [{"role": "user", "content": "The same answer."}], "stream": true}}
}
